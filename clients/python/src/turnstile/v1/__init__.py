"""The messages of Turnstile, generated from its proto."""
