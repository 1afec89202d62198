"""What a trained network has learned, to see and to hear; a worker imports nothing of it.

`subject` reads a network, `chain` runs it layer by layer, `deconvolution` maps a layer back to the
input, `sound` makes audio of a CQT, `attribution` says which input an output depends on,
`activation` finds what activates a map, and `page` shows all of it.
"""
