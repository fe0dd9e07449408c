"""The latent stream: integers of a learned encoder at a low rate, for its learned decoder (spec 8.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.latent_model import Known, LatentModel, Latents, Predicted
from evc.format.streams.port import Port, ReadPort, WritePort
from evc.format.streams.recorded import recording


def columns(frames: int) -> int:
    """Columns of a segment of so many frames."""
    return -(-frames // c.LATENT_HOP)


@dataclass
class LatentStream:
    """Latents of one segment.

    latents  int64 [columns, dimensions], from -32767 to 32767
    step     index of the step size that they count, 0 to 127: 2**(step / 16)

    Accounts of decoders tell what each column cost, signs included.
    """

    latents: Latents = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    step: int = 0

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the latents; InputError where they break a limit (spec 8.2), UnsupportedError if their network, the last
        of the context's, is not installed."""
        model, port = LatentModel.of(context.networks), WritePort(encoder)
        self._check(context, model)
        port.field(self.step, c.LATENT_STEP_BITS)
        if kernels.lib is not None and model.compiled is not None and not encoder.accounting:
            with recording(encoder) as recorded:
                model.compiled.write(recorded, self.step, self.latents)
        else:
            self._write_columns(port, model)
        port.uniform((_unsigned(self.latents, model) < 0).astype(np.int32), 2, "signs")

    def _write_columns(self, port: WritePort, model: LatentModel) -> None:
        predictions = model.predictions(self.latents, self.step)
        for column, values in enumerate(self.latents):
            for stage, at in enumerate(model.passes):
                predicted = Predicted(*(part[column] for part in predictions[stage]))
                _code(port, values[at], model, stage, predicted)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no latents, UnsupportedError if their network is not
        installed."""
        model, port = LatentModel.of(context.networks), ReadPort(decoder)
        step = port.field(0, c.LATENT_STEP_BITS)
        port.reserve(columns(context.frames) * model.dimensions)
        bits = np.zeros(columns(context.frames))
        if decoder.port is not None and model.compiled is not None and not decoder.accounting:
            latents = model.compiled.read(decoder.port, step, len(bits))
        else:
            latents = _read_columns(decoder, port, model, step, bits)
        signs = 1 - 2 * port.uniform(_unsigned(latents, model), 2, "signs").astype(np.int64)
        magnitudes = latents[:, : model.dimensions - model.predicted]
        bits += np.count_nonzero(magnitudes, axis=1)
        magnitudes[magnitudes != 0] *= signs
        decoder.share(bits, c.LATENT_HOP)
        return cls(latents, step)

    def _check(self, context: StreamContext, model: LatentModel) -> None:
        if self.latents.shape != (columns(context.frames), model.dimensions):
            raise InputError("the latents have another shape than their segment and their network")
        if not 0 <= self.step < 1 << c.LATENT_STEP_BITS or np.abs(self.latents).max(initial=0) > c.MAX_LATENT:
            raise InputError("a latent or the step is out of range")


def _read_columns(
    decoder: SymbolDecoder, port: ReadPort, model: LatentModel, step: int, bits: NDArray[np.float64]
) -> Latents:
    """The latents of as many columns as there are `bits`, which become what each cost, where this is accounted for."""
    latents = np.zeros((len(bits), model.dimensions), np.int64)
    known = Known(1, model.dimensions, model.predicted, step)
    for column, values in enumerate(latents):
        before = decoder.spent
        for stage, at in enumerate(model.passes):
            predicted = Predicted(*(part[0] for part in model.predict(stage, known)))
            values[at] = _code(port, values[at], model, stage, predicted)
            known.add(at, values[at])
        known.advance()
        bits[column] = decoder.spent - before
    return latents


def _unsigned(latents: Latents, model: LatentModel) -> Latents:
    """The latents that are not 0 in the dimensions whose signs come last, [n], column by column."""
    magnitudes = latents[:, : model.dimensions - model.predicted]
    return magnitudes[magnitudes != 0]


def _code(port: Port, values: Latents, model: LatentModel, stage: int, predicted: Predicted) -> Latents:
    """Code the `values` [n] of a pass, or their magnitudes. Raises FormatError for one that is out of range."""
    centre, row, low_bits = predicted
    coarse, symbols = model.symbols(stage, values, predicted)
    found = port.symbols(symbols, model.table(stage), row, "latents").astype(np.int64)
    if model.signed(stage):
        found -= c.LATENT_ESCAPE
    escaped = np.abs(found) == c.LATENT_ESCAPE
    if escaped.any():
        beyond = port.golomb(np.abs(coarse[escaped]) - c.LATENT_ESCAPE, c.LATENT_ESCAPE_ORDER, "escapes")
        found[escaped] += np.sign(found[escaped]) * beyond
    if low_bits.any():
        counted = values - centre if model.signed(stage) else np.abs(values)
        found = (found << low_bits) + port.bits(counted & ((1 << low_bits) - 1), low_bits, "low bits")
    found += centre
    if np.abs(found).max() > c.MAX_LATENT:
        raise FormatError("a latent is out of range")
    return found
