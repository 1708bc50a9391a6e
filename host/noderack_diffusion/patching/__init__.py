"""How existing packs change a model: options in nested dicts, wrappers, replaced objects, weight patches.

The layout of the dicts and the arguments of the functions in them are what packs of the field expect (host
contract, section 7). What is done with them is the core's own: a handle without any such change never comes
here, and runs as fast as before.
"""
