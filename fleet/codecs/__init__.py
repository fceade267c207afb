"""The formats that devices speak: the native one (native.py), and those that gateways pass on untouched (registry.py).

A profile names its codec. Codecs are pure: one message in, samples out. Nothing is imported here, so that whoever needs one
format does not get the libraries of all others.
"""
