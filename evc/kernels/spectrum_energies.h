/* Stereo modes and energies of a block, and what the walk remembers of them (spec 9.6, 9.7): as
   evc/format/streams/spectrum_walk.py. */
#pragma once
#include "spectrum_left.h"

INLINE void code_stereo(evc_mode mode, evc_walk *w, evc_port *p, int32_t *modes) {
    const int bands = w->geometry->coarse_bands, row = EVC_STEREO_MODES + 1;
    p->kind = EVC_STEREO;
    for (int odd = 0; odd < 2; odd++)
        for (int k = odd; k < bands; k += 2)
            modes[k] = code_symbol(mode, p, &w->model->stereo,
                                   w->modes[k] * row + (odd ? modes[k - 1] : EVC_STEREO_MODES), modes[k]);
    memcpy(w->modes, modes, (size_t)bands * sizeof *modes);
}

/* The energies of a channel in one pass. */
INLINE void code_energy_pass(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel, int pass) {
    static const int firsts[] = {0, 2, 1}, steps[] = {4, 4, 2};
    const int first = firsts[pass], step = steps[pass], outside = EVC_ENERGY_RESIDUALS - 1, half = outside / 2;
    int32_t *energies = block->energies + channel * block->band_stride, *current = w->memory[channel].current + EDGE;
    int32_t symbols[EVC_BANDS], predicted[EVC_BANDS];
    int64_t beyond[EVC_BANDS];
    uint8_t widths[EVC_BANDS];
    evc_layer layers[3];
    of_block(w, w->model->energy[channel][pass], block->depth, layers);
    const int inputs = layers[0].inputs;
    const int count = evc_energy_features(w, channel, pass, first, step, block->bands, inputs, w->features);
    if (!count) return;
    evc_network(layers, 3, w->features, count, w->outputs);
    int escaped = 0;
    for (int i = 0; i < count; i++) {
        const int b = first + i * step;
        const int32_t *out = w->outputs + i * layers[2].outputs;
        const int32_t quarters = w->memory[channel].energies1[EDGE + b] + out[0];
        const int64_t row = 4 * clip(out[1], 0, EVC_ENERGY_SCALES - 1) + (quarters & 3);
        predicted[i] = shifted(quarters, 2);
        symbols[i] = (int32_t)clip((int64_t)energies[b] - predicted[i] + half, 0, outside);
        symbols[i] = code_symbol(mode, p, &w->model->energy_tables[channel][pass], row, symbols[i]);
        if (symbols[i] == 0 || symbols[i] == outside)
            beyond[escaped++] = llabs((int64_t)energies[b] - (predicted[i] + symbols[i] - half));
    }
    if (escaped) code_golomb(mode, p, beyond, widths, EVC_ENERGY_ESCAPE_ORDER, escaped);
    if (p->error) return;
    for (int i = 0, next = 0; i < count; i++) {
        const int b = first + i * step;
        int64_t energy = predicted[i] + symbols[i] - half;
        if (symbols[i] == 0 || symbols[i] == outside) {
            if (mode != READ) energy = energies[b];
            else energy += symbols[i] ? beyond[next++] : -beyond[next++];
        }
        if (energy < 0 || energy > EVC_ENERGY_MAX) {
            p->error = EVC_ENERGY;
            return;
        }
        energies[b] = (int32_t)energy;
        current[b] = 4 * energies[b];
    }
    if (pass == 0)
        for (int i = 1; i <= EDGE; i++) current[-i] = 4 * energies[0];
    if (first + (count - 1) * step == block->bands - 1)
        for (int i = 0; i < EDGE; i++) current[block->bands + i] = 4 * energies[block->bands - 1];
}

INLINE void code_energies(evc_mode mode, evc_walk *w, evc_port *p, const Block *block) {
    p->kind = EVC_ENERGIES;
    for (int channel = 0; channel < w->channels; channel++) {
        Memory *memory = &w->memory[channel];
        pad_bands(memory->energies1, block->bands);
        pad_bands(memory->energies2, block->bands);
        memset(memory->current, 0, sizeof memory->current);
        for (int pass = 0; pass < 3; pass++) {
            code_energy_pass(mode, w, p, block, channel, pass);
            if (p->error) return;
        }
    }
}

/* Energies of what patterns leave over, which the steps follow, and by how much these rise besides. */
INLINE void code_left_over(evc_mode mode, evc_walk *w, evc_port *p, const Block *block) {
    int32_t on[2][EVC_BANDS] = {{0}}, moved[2][EVC_BANDS] = {{0}};
    p->kind = EVC_ENERGIES;
    if (!code_on(mode, w, p, block, on)) {
        memset(block->modes, 0, (size_t)w->geometry->coarse_bands * sizeof *block->modes);
        *block->rising = 0;
        return;
    }
    if (w->channels == 2) code_stereo(mode, w, p, block->modes);
    p->kind = EVC_ENERGIES;
    code_left_energies(mode, w, p, block, on, moved);
    if (p->error) return;
    code_rises(mode, w, p, block, on, moved);
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < block->bands; b++) {
            int32_t *step = &w->memory[channel].steps[b];
            const int32_t limits[] = EVC_KNOWN_STEPS;
            *step = (int32_t)clip(*step + moved[channel][b], limits[0], limits[1]);
        }
}

/* Takes in the energies of a block: its own and the steps that follow, or where patterns sound those of what is heard,
   which the steps tell. */
INLINE void remember_energies(evc_walk *w, const Block *block, bool predicted) {
    int32_t relative[2][EVC_BANDS];
    const int32_t *offset = w->geometry->offset[layout_of(block->depth)];
    if (!predicted) evc_relative_steps(w->geometry, block->depth, w->channels, block->levels, relative);
    for (int channel = 0; channel < w->channels; channel++) {
        Memory *memory = &w->memory[channel];
        memcpy(memory->energies2 + EDGE, memory->energies1 + EDGE, (size_t)block->bands * sizeof *memory->energies1);
        for (int b = 0; b < block->bands; b++) {
            if (!predicted) {
                memory->energies1[EDGE + b] = 4 * block->energies[channel * block->band_stride + b];
                memory->steps[b] = relative[channel][b];
            } else {
                int32_t above = memory->steps[b] - EVC_STEP_REFERENCE - offset[b];
                memory->energies1[EDGE + b] = (int32_t)clip(
                    EVC_HEARD_ENERGY + shifted(EVC_HEARD_PER_STEP * above, 8), 0, 4 * EVC_ENERGY_MAX);
            }
        }
    }
}
