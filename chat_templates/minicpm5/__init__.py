"""OpenBMB's MiniCPM5: ChatML with calls as tags, whose names are attributes."""
