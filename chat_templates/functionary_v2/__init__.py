"""MeetKai's Functionary v2 to v2.4: tools as TypeScript, every part of a turn with a sender and a recipient."""
