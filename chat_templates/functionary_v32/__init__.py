"""MeetKai's Functionary v3.2 and medium-v3.0: tools as TypeScript, parts of an answer after `>>>RECIPIENT`."""
