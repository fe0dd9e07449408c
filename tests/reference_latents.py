"""A decoder of latents in plain Python, written from section 8.2 of the specification alone."""

from __future__ import annotations

from reference_coder import ReferenceDecoder, normalised
from reference_streams import field


class LatentReference:
    """Section 8.2 in plain integers. `tensors`: nested lists by their names without `entropy.`."""

    def __init__(self, decoder: ReferenceDecoder, tensors: dict[str, list]) -> None:
        self.decoder, self.tensors = decoder, tensors
        self.size, self.predicted = len(tensors["order"]), len(tensors["centre.w"])
        self.first = self.size - self.predicted
        self.magnitudes = [normalised(row) for row in tensors["magnitudes"]]
        self.differences = [normalised(row) for row in tensors["differences"]]

    def columns(self, frames: int) -> tuple[int, list[list[int]]]:
        """The step and the columns of latents."""
        step = field(self.decoder, 7)
        found: list[list[int]] = []
        slow = [[0] * self.size, [0] * self.size]
        for number in range(-(-frames // 2048)):
            past = [found[-1] if number > 0 else [0] * self.size, found[-2] if number > 1 else [0] * self.size]
            averages = [average >> 4 for averages in slow for average in averages]
            found.append(self.column(past, averages, [0, step - 64, 64 >> min(number, 7)]))
            for averages, shift in zip(slow, (3, 5), strict=True):
                for d, value in enumerate(found[-1]):
                    averages[d] += (16 * latent_level(value) - averages[d]) >> shift
        signs = iter(self.decoder.bits([1 for column in found for value in column[: self.first] if value]))
        for column in found:
            column[: self.first] = [-value if value and next(signs) else value for value in column[: self.first]]
        return step, found

    def column(self, past: list[list[int]], averages: list[int], shared: list[int]) -> list[int]:
        """One column, without the signs that come last."""
        now, centres = [0] * self.size, [0] * self.predicted
        before = [latent_level(value) for column in past for value in column] + averages
        for stage in range(max(self.tensors["order"]) + 1):
            at = [d for d in range(self.size) if self.tensors["order"][d] == stage]
            signed = at[0] >= self.first
            if signed:
                for d in at:
                    centres[d - self.first] = self.centre(d - self.first, [*past, now])
            # The centres of this pass count, but none of those of later ones.
            known = before + [latent_level(value) for value in now + centres] + shared
            inputs = {d: [known[place] for place in self.tensors["look"][d]] for d in at}
            outputs = [self.outputs(d, inputs[d]) for d in at]
            start = [centres[d - self.first] if signed else 0 for d in at]
            predicted = [self.prediction(*pair, signed) for pair in zip(outputs, start, strict=True)]
            for d, value in zip(at, self.coded(predicted, signed), strict=True):
                now[d] = value
        return now

    def centre(self, number: int, columns: list[list[int]]) -> int:
        values = [min(max(value, -1023), 1023) for column in columns for value in column[self.first :]]
        weights, bias = self.tensors["centre.w"][number], self.tensors["centre.b"][number]
        return sum(w * v for w, v in zip(weights, values, strict=True)) + bias >> self.tensors["centre.shift"][0]

    def prediction(self, outputs: list[int], centre: int, signed: bool) -> tuple[int, list[int], int]:
        """The integer that a latent is counted from, frequencies, low bits."""
        scale, shape = min(max(outputs[0], 0), 54), min(max(outputs[1], 0), 2)
        low = max(scale - 28, 0) // 3
        scale -= 3 * low
        if signed:
            return centre >> 2, self.differences[4 * scale + centre % 4], low
        return 0, self.magnitudes[31 * shape + scale], low

    def outputs(self, d: int, x: list[int]) -> list[int]:
        last = len(self.tensors["shifts"]) - 1
        for number, shift in enumerate(self.tensors["shifts"]):
            biases = self.tensors["b0"][d] if number == 0 else self.tensors[f"b{number}"]
            rows = zip(self.tensors[f"w{number}"], biases, strict=True)
            x = [sum(w * v for w, v in zip(row, x, strict=True)) + bias >> shift for row, bias in rows]
            if number < last:
                x = [min(max(value, 0), 255) for value in x]
        return x

    def coded(self, predicted: list[tuple[int, list[int], int]], signed: bool) -> list[int]:
        found = [self.decoder.symbol(frequencies) - 18 * signed for _, frequencies, _ in predicted]
        escaped = [i for i, value in enumerate(found) if abs(value) == 18]
        for i, beyond in zip(escaped, self.decoder.golomb([2] * len(escaped)), strict=True):
            found[i] += beyond if found[i] > 0 else -beyond
        low = self.decoder.bits([low for _, _, low in predicted])
        return [
            centre + (value << shift) + bits
            for value, (centre, _, shift), bits in zip(found, predicted, low, strict=True)
        ]


def latent_level(value: int) -> int:
    octave = (abs(value) + 1).bit_length() - 1
    return min(12 * (octave - 1) + (12 * (abs(value) + 1) >> octave), 127)
