/* The order in which a spectrum stream is coded (spec 9.3 to 9.5): as evc/format/streams/spectrum_walk.py. One body for
   every mode. */
#pragma once
#include "spectrum_coefficients.h"
#include "spectrum_energies.h"

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
    const bool covered = covers(w, block->depth);
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

INLINE void code_block(evc_mode mode, evc_walk *w, evc_port *p, Block *block, const evc_search *how) {
    evc_align(w, block->depth);
    if (mode == SEARCH && block->heard && covers(w, block->depth) && !*block->alone) evc_raise(w, block, how);
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
        const double spent = places ? ideal_bits(p) : 0;
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
        if (places) places[number] += ideal_bits(p) - spent;
    }
}
