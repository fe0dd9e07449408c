"""Training of networks: data, augmentation, losses, a discriminator and the loop, shared by all of them."""
