"""What reports show and play: pictures, embeddings and snippets of sound. Needs the extra `evc[report]`."""
