"""`evc report`: a file as a page that shows what is in it, and plays it. Needs the extra `evc[report]`."""
