"""The choice of a token: sampling, masks, drafts."""
