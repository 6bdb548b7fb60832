"""The pages of the console, a file a subject. Each is a function of a request that looks, and changes nothing, or an act."""
