"""MeetKai's Functionary v2.5: tools as TypeScript, calls after `<|reserved_special_token_249|>NAME`."""
