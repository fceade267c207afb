"""Whatever comes in, by file or as a message: rows, samples and refusals in words, or one reason for all of it; soon, in
little memory.

mutations   files as they get damaged, and as somebody would damage them
targets     each file format, each codec, archives, guesses: what it is given first, and what must hold of any input
one         runs one target for some time in a process of its own: python -m tests.fuzz.one NAME SECONDS FOLDER
"""
