"""Ways to find a circuit; all have one signature (``finder.Finder``), and slow ones are the fast ones' references."""
