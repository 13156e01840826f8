"""MadeAgents' Hammer 2.1: Qwen2.5-Coder, trained to calls alone, from half a billion parameters on."""
