"""The pattern layer: what repeats is found, placed and subtracted; the residual layers code the rest."""
