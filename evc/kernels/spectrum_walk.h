/* The order in which a spectrum stream is coded: as evc/format/streams/spectrum_walk.py. One body for every mode. */
#pragma once
#include "spectrum_left.h"
#include "spectrum_search.h"

/* Split flags of a superframe, one depth after another; `depths` become those of its blocks in time order. */
INLINE int code_partition(evc_mode mode, evc_walk *w, evc_port *p, uint8_t *depths, int count) {
    int8_t leaf[EVC_BLOCKS], wanted[EVC_BLOCKS];
    int open[EVC_BLOCKS] = {0}, opened = 1;
    p->kind = EVC_PARTITION;
    memset(leaf, -1, sizeof leaf);
    memset(wanted, -1, sizeof wanted);
    for (int i = 0, start = 0; mode != READ && i < count && start < EVC_BLOCKS; start += EVC_BLOCKS >> depths[i++])
        wanted[start] = (int8_t)depths[i];
    for (int depth = 0; depth < EVC_BLOCK_DEPTHS - 1 && opened; depth++) {
        int next[EVC_BLOCKS], split[EVC_BLOCKS], count_next = 0;
        for (int i = 0; i < opened; i++)
            split[i] = code_symbol(mode, p, &w->model->split, depth * EVC_BLOCK_DEPTHS + w->deepest,
                                   wanted[open[i]] != depth);
        for (int i = 0; i < opened; i++) {
            if (split[i]) {
                next[count_next++] = open[i];
                next[count_next++] = open[i] + (EVC_BLOCKS >> (depth + 1));
            } else {
                leaf[open[i]] = (int8_t)depth;
            }
        }
        memcpy(open, next, sizeof open);
        opened = count_next;
    }
    for (int i = 0; i < opened; i++) leaf[open[i]] = EVC_BLOCK_DEPTHS - 1;
    count = w->deepest = 0;
    for (int start = 0; start < EVC_BLOCKS; start++) {
        if (leaf[start] < 0) continue;
        depths[count++] = (uint8_t)leaf[start];
        if (leaf[start] > w->deepest) w->deepest = leaf[start];
    }
    return count;
}

/* Whether patterns leave a block alone that they cover; returns whether they sound in it. */
INLINE bool code_alone(evc_mode mode, evc_walk *w, evc_port *p, const Block *block) {
    const bool covered = evc_covers(w, block->depth);
    w->frame += w->geometry->superframe >> block->depth;
    if (!covered) return false;
    p->kind = EVC_ALONE;
    w->alone = code_symbol(mode, p, &w->model->alone, w->alone, *block->alone);
    *block->alone = (uint8_t)w->alone;
    return !w->alone;
}

/* Whether the block has the modes and energies of the one before; if so, it gets them. */
INLINE void code_hold(evc_mode mode, evc_walk *w, evc_port *p, const Block *block) {
    int held = 0;
    p->kind = EVC_HOLD;
    if (!w->first && w->last_depth == block->depth)
        held = code_symbol(mode, p, &w->model->hold, 2 * block->depth + w->held, *block->held);
    *block->held = (uint8_t)held;
    if (held) {
        memcpy(block->modes, w->last_modes, (size_t)w->geometry->coarse_bands * sizeof *block->modes);
        for (int channel = 0; channel < w->channels; channel++)
            memcpy(block->energies + channel * block->band_stride, w->last_energies[channel],
                   (size_t)block->bands * sizeof *block->energies);
        *block->rising = 0;
    }
    w->first = 0;
    w->held = held;
    w->last_depth = block->depth;
}

INLINE void code_stereo(evc_mode mode, evc_walk *w, evc_port *p, int32_t *modes) {
    const int bands = w->geometry->coarse_bands, row = EVC_STEREO_MODES + 1;
    p->kind = EVC_STEREO;
    for (int odd = 0; odd < 2; odd++)
        for (int k = odd; k < bands; k += 2)
            modes[k] = code_symbol(mode, p, &w->model->stereo,
                                   w->modes[k] * row + (odd ? modes[k - 1] : EVC_STEREO_MODES), modes[k]);
    memcpy(w->modes, modes, (size_t)bands * sizeof *modes);
}

/* The network's layers, its first with the biases of this block. */
INLINE void of_block(const evc_walk *w, const evc_layer network[3], int depth, evc_layer layers[3]) {
    memcpy(layers, network, 3 * sizeof *layers);
    layers[0].biases += (depth * EVC_BLOCK_DEPTHS + w->before) * layers[0].outputs;
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
        const int32_t *out = w->outputs + i * layers[2].outputs, quarters = w->memory[channel].energies1[EDGE + b] + out[0];
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

/* The bands of a channel that hold any coefficient. */
INLINE void code_bands(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel, const float *ratio,
                       const evc_search *how, uint8_t *flags) {
    const int16_t *before = w->memory[channel].amplitudes1 + EDGE, *beside = w->memory[0].now + EDGE;
    const int32_t *energies = block->energies + channel * block->band_stride;
    const int32_t *coefficients = block->coefficients + channel * block->bin_stride;
    p->kind = EVC_FLAGS;
    for (int b = 0; b < block->bands; b++) {
        const int low = block->edges[b], high = block->edges[b + 1], width = floor_log2((uint64_t)(high - low));
        const int32_t step = block->log_steps[channel][b];
        flags[b] = 0;
        if (!energies[b]) continue;
        int third = 0;
        int16_t loudest = before[low];
        for (int k = low + 1; k < high; k++) loudest = before[k] > loudest ? before[k] : loudest;
        if (channel) {
            int16_t most = beside[low];
            for (int k = low + 1; k < high; k++) most = beside[k] > most ? beside[k] : most;
            third = 1 + (most >= step);
        }
        int64_t level = clip(shifted(block->levels[channel][b] - step + 160, 4), 0, 15);
        int64_t past = clip(shifted(loudest - step + 2 * EVC_OCTAVE, 6), 0, 3);
        int64_t row = ((level * 4 + past) * 10 + (width < 9 ? width : 9)) * 3 + third;
        int flag = 0;
        if (mode == WRITE)
            for (int k = low; k < high && !flag; k++) flag = coefficients[k] != 0;
        if (mode == SEARCH) flag = worth_band(how, ratio, low, high, w->model->band.bits + 2 * row);
        flags[b] = (uint8_t)code_symbol(mode, p, &w->model->band, row, flag);
    }
}

INLINE void remember_coded(evc_walk *w, evc_port *p, int32_t *at, int32_t symbol, int shift) {
    if (w->coded_count == w->coded_room) {
        int64_t room = w->coded_room ? 2 * w->coded_room : 4096;
        Coded *more = realloc(w->coded, (size_t)room * sizeof *more);
        if (!more) {
            p->error = EVC_MEMORY;
            return;
        }
        w->coded = more;
        w->coded_room = room;
    }
    w->coded[w->coded_count++] = (Coded){at, (uint8_t)symbol, (uint8_t)shift};
}

/* One pass of magnitudes: even or odd bins. Log amplitudes of what is not 0 are taken in. */
INLINE void code_magnitude_pass(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel, int pass,
                                const uint8_t *flags, const int32_t *shifts, const int32_t *coarse_steps,
                                const float *ratio, const evc_search *how) {
    static const int16_t log_magnitude[] = {0,   0,   64,  101, 128, 149, 165, 180, 192,
                                            203, 213, 221, 229, 237, 244, 250, 256};
    const evc_table *table = &w->model->coefficient_tables[channel][pass];
    int32_t *coefficients = block->coefficients + channel * block->bin_stride;
    const float *spectra = mode == SEARCH ? block->spectra + channel * block->bin_stride : NULL;
    int16_t *now = w->memory[channel].now + EDGE;
    evc_layer layers[3];
    int64_t count = 0;
    for (int b = 0; b < block->bands; b++) {
        if (!flags[b]) continue;
        for (int k = block->edges[b] + ((block->edges[b] ^ pass) & 1); k < block->edges[b + 1]; k += 2) {
            w->bins[count] = k;
            w->band_of[count++] = (uint8_t)b;
        }
    }
    if (!count) return;
    of_block(w, w->model->coefficient[channel][pass], block->depth, layers);
    evc_coefficient_features(w, block, channel, pass, layers[0].inputs, coarse_steps, count);
    evc_network(layers, 3, w->features, count, w->outputs);
    for (int64_t i = 0; i < count; i++) {
        const int32_t *out = w->outputs + i * layers[2].outputs;
        const int64_t row = clip(out[0], 0, EVC_MAGNITUDE_SCALES - 1) +
                            EVC_MAGNITUDE_SCALES * clip(out[1], 0, EVC_MAGNITUDE_SHAPES - 1);
        const int b = w->band_of[i], k = w->bins[i], escape = EVC_MAGNITUDE_SYMBOLS - 1;
        int32_t symbol = 0;
        if (mode == SEARCH) {
            int32_t best = best_magnitude(how, ratio[k], shifts[b], table->bits + row * EVC_MAGNITUDE_SYMBOLS, &p->bits);
            coefficients[k] = spectra[k] < 0 ? -best : best;
            symbol = best >> shifts[b] < escape ? best >> shifts[b] : escape;
        } else {
            int64_t high = llabs((int64_t)coefficients[k]) >> shifts[b];
            symbol = code_symbol(mode, p, table, row, (int32_t)(high < escape ? high : escape));
            remember_coded(w, p, coefficients + k, symbol, shifts[b]);
            if (p->error) return;
        }
        if (symbol) now[k] = (int16_t)(log_magnitude[symbol] + coarse_steps[b]);
    }
}

INLINE void code_coefficients(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int channel,
                              const evc_search *how) {
    Memory *memory = &w->memory[channel];
    int32_t shifts[EVC_BANDS], coarse_steps[EVC_BANDS];
    uint8_t flags[EVC_BANDS];
    int16_t *now = memory->now + EDGE;
    if (mode == SEARCH) find_ratios(w, block, channel);
    code_bands(mode, w, p, block, channel, w->ratio, how, flags);
    if (p->error) return;
    for (int b = 0; b < block->bands; b++) {
        const int32_t level = block->levels[channel][b], step = block->log_steps[channel][b];
        shifts[b] = (int32_t)clip(shifted(level - step, 6) - (EVC_LARGE_OCTAVES - 1), 0, EVC_MAX_LOW_BITS);
        coarse_steps[b] = step + EVC_OCTAVE * shifts[b];
        const int32_t quiet = coarse_steps[b] - EVC_OCTAVE;
        for (int k = block->edges[b]; k < block->edges[b + 1]; k++) now[k] = (int16_t)(level < quiet ? level : quiet);
    }
    pad_bins(memory->amplitudes1, block->bins);
    pad_bins(memory->amplitudes2, block->bins);
    pad_bins(memory->now, block->bins);
    p->kind = EVC_COEFFICIENTS;
    const int16_t *before = memory->amplitudes1 + EDGE;
    int32_t sum = 0;
    for (int k = -WIDE; k < WIDE; k++) sum += before[k];
    for (int k = 0; k < block->bins; k++) {
        sum += before[k + WIDE];
        w->wide[k] = (int16_t)(sum / (2 * WIDE + 1) - (sum % (2 * WIDE + 1) < 0));
        sum -= before[k - WIDE];
    }
    for (int pass = 0; pass < 2 && !p->error; pass++)
        code_magnitude_pass(mode, w, p, block, channel, pass, flags, shifts, coarse_steps, w->ratio, how);
}

INLINE void code_block(evc_mode mode, evc_walk *w, evc_port *p, Block *block, const evc_search *how) {
    evc_align(w, block->depth);
    if (mode == SEARCH && block->heard && evc_covers(w, block->depth) && !*block->alone) evc_raise(w, block, how);
    const bool predicted = code_alone(mode, w, p, block);
    code_hold(mode, w, p, block);
    if (p->error) return;
    if (!*block->held) {
        if (predicted) {
            code_left_over(mode, w, p, block);
        } else {
            if (w->channels == 2) code_stereo(mode, w, p, block->modes);
            code_energies(mode, w, p, block);
        }
        if (p->error) return;
    }
    if (!predicted) *block->rising = 0;
    const int32_t gain = w->gain - EVC_OFFSET_STEP * w->offset;
    memcpy(w->last_modes, block->modes, (size_t)w->geometry->coarse_bands * sizeof *w->last_modes);
    for (int channel = 0; channel < w->channels; channel++) {
        const int32_t *energies = block->energies + channel * block->band_stride;
        memcpy(w->last_energies[channel], energies, (size_t)block->bands * sizeof *energies);
        for (int b = 0; b < block->bands; b++) block->levels[channel][b] = energy_log(energies[b]);
    }
    remember_energies(w, block, predicted);
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < block->bands; b++)
            block->steps[channel * block->band_stride + b] = block->log_steps[channel][b] =
                gain + w->memory[channel].steps[b];
    if (!predicted) restart_left(w, block->depth, block->log_steps);
    for (int channel = 0; channel < w->channels && !p->error; channel++)
        code_coefficients(mode, w, p, block, channel, how);
    for (int channel = 0; channel < w->channels; channel++) {
        Memory *memory = &w->memory[channel];
        int16_t *oldest = memory->amplitudes2;
        memory->amplitudes2 = memory->amplitudes1;
        memory->amplitudes1 = memory->now;
        memory->now = oldest;
    }
    w->before = block->depth;
}

INLINE void walk(evc_mode mode, evc_walk *w, evc_port *p, const evc_blocks *blocks, int32_t first, int32_t end,
                 const evc_search *how, const float *spectra, const int32_t *heard, double *places) {
    const evc_geometry *geometry = w->geometry;
    const int64_t bins = geometry->edges[0][geometry->bands[0]], bands = geometry->fine_bands;
    for (int32_t number = first; number < end && !p->error; number++) {
        uint8_t *depths = blocks->depths + (int64_t)number * EVC_BLOCKS;
        const double spent = places ? evc_spent(p) : 0;
        if (w->graded) {
            p->kind = EVC_OFFSETS;
            w->offset = code_symbol(mode, p, &w->model->offsets, w->offset, blocks->offsets[number]);
            blocks->offsets[number] = w->offset;
        }
        blocks->counts[number] = code_partition(mode, w, p, depths, blocks->counts[number]);
        int64_t bin = number * w->channels * bins;
        for (int place = 0; place < blocks->counts[number] && !p->error; place++) {
            const int64_t at = (int64_t)number * EVC_BLOCKS + place, of_bands = at * w->channels * bands;
            Block block = {
                .depth = depths[place],
                .bands = geometry->bands[depths[place]],
                .edges = geometry->edges[depths[place]],
                .held = blocks->held + at,
                .alone = blocks->alone + at,
                .rising = blocks->rising + at,
                .modes = blocks->modes + at * geometry->coarse_bands,
                .energies = blocks->energies + of_bands,
                .rises = blocks->rises + of_bands,
                .steps = blocks->steps + of_bands,
                .coefficients = blocks->coefficients + bin,
                .band_stride = bands,
                .bin_stride = bins,
                .spectra = spectra ? spectra + bin : NULL,
                .heard = heard ? heard + of_bands : NULL,
            };
            block.bins = block.edges[block.bands];
            code_block(mode, w, p, &block, how);
            bin += block.bins;
        }
        if (places) places[number] += evc_spent(p) - spent;
    }
}
