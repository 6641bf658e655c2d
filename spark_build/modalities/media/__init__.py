"""Images, audio and video: what a file holds, and what is known of it."""
