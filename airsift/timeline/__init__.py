"""A file on one time axis: what `airsift plot` draws (the 2015 report's Figure 5.1).

`recorder` collects what the pipeline computes, `labels` reads the truth, `picture` draws PNG and
SVG, and `page` writes the HTML page.
"""
