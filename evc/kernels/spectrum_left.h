/* Energies of what patterns leave over, and the steps that follow them (spec 9.7): as
   evc/format/streams/spectrum_left.py. */
#pragma once
#include "spectrum.h"

enum { LEFT_CLASSES = 6 };

INLINE void begin_left(Left *left) {
    memset(left, 0, sizeof *left);
    begin_contexts(left->on, 4 * LEFT_CLASSES, EVC_FLAG_ONE / 2);
    begin_contexts(left->rising, 1, EVC_FLAG_ONE / 2);
    begin_changes(&left->energies);
    begin_changes(&left->rises);
}

/* Expect energies a little above log steps [channels][bands]. */
INLINE void restart_left(evc_walk *w, int depth, const int32_t steps[2][EVC_BANDS]) {
    const int32_t *fine = w->geometry->fine[depth];
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < w->geometry->bands[depth]; b++) {
            int32_t above = steps[channel][b] - EVC_ENERGY_FLOOR, energy = above / EVC_ENERGY_STEP;
            energy += 1 + EVC_LEFT_HEIGHT - (above % EVC_ENERGY_STEP < 0);
            for (int32_t f = fine[b]; f < fine[b + 1]; f++)
                w->left.latest[channel][f] = clip(energy, 1, EVC_ENERGY_MAX);
        }
}

/* Which bands have an energy; returns whether any has. */
INLINE bool code_on(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int32_t on[2][EVC_BANDS]) {
    const int32_t *fine = w->geometry->fine[block->depth];
    bool any = false;
    for (int channel = 0; channel < w->channels; channel++) {
        int32_t known[EVC_BANDS], *energies = block->energies + channel * block->band_stride;
        for (int b = 0; b < block->bands; b++) {
            known[b] = w->left.past[channel][fine[b]] + 2 * (channel ? on[0][b] : 2);
            on[channel][b] = energies[b] > 0;
        }
        code_band_flags(mode, p, &w->model->adaptive, w->left.on, LEFT_CLASSES, known, on[channel], block->bands);
        for (int b = 0; b < block->bands; b++) {
            for (int32_t f = fine[b]; f < fine[b + 1]; f++) w->left.past[channel][f] = on[channel][b];
            if (!on[channel][b]) energies[b] = 0;
            any |= on[channel][b] != 0;
        }
    }
    return any;
}

/* Energies where bands are on: as changes of what they were last, which move the steps. */
INLINE void code_left_energies(evc_mode mode, evc_walk *w, evc_port *p, const Block *block,
                               int32_t on[2][EVC_BANDS], int32_t moved[2][EVC_BANDS]) {
    const int32_t *fine = w->geometry->fine[block->depth];
    for (int channel = 0; channel < w->channels; channel++) {
        int64_t before[EVC_BANDS], levels[EVC_BANDS], *latest = w->left.latest[channel];
        int32_t *energies = block->energies + channel * block->band_stride;
        int count = 0;
        for (int b = 0; b < block->bands; b++) {
            moved[channel][b] = 0;
            if (!on[channel][b]) continue;
            before[count] = latest[fine[b]];
            levels[count++] = energies[b];
        }
        code_changes(mode, p, &w->model->adaptive, w->left.energies.sizes, w->left.energies.signs, 1, EVC_ENERGY_MAX,
                     before, levels, count);
        if (p->error) return;
        for (int b = 0, next = 0; b < block->bands; b++) {
            if (!on[channel][b]) continue;
            energies[b] = (int32_t)levels[next];
            moved[channel][b] = EVC_STEP_PER_ENERGY * (int32_t)(levels[next] - before[next]);
            for (int32_t f = fine[b]; f < fine[b + 1]; f++) latest[f] = levels[next];
            next++;
        }
    }
}

/* Whether steps change besides, and if so by how much where bands are on. */
INLINE void code_rises(evc_mode mode, evc_walk *w, evc_port *p, const Block *block, int32_t on[2][EVC_BANDS],
                       int32_t moved[2][EVC_BANDS]) {
    int32_t at = 0, rising = *block->rising;
    code_flags(mode, p, &w->model->adaptive, w->left.rising, &at, &rising, 1);
    *block->rising = (uint8_t)rising;
    for (int channel = 0; channel < w->channels; channel++) {
        int64_t before[EVC_BANDS] = {0}, levels[EVC_BANDS];
        int32_t *rises = block->rises + channel * block->band_stride;
        int count = 0;
        for (int b = 0; b < block->bands; b++) {
            if (on[channel][b]) levels[count++] = rises[b];
            else rises[b] = 0;
        }
        if (!rising) continue;
        code_changes(mode, p, &w->model->adaptive, w->left.rises.sizes, w->left.rises.signs, -EVC_MOST_RISE,
                     EVC_MOST_RISE, before, levels, count);
        if (p->error) return;
        for (int b = 0, next = 0; b < block->bands; b++)
            if (on[channel][b]) {
                rises[b] = (int32_t)levels[next++];
                moved[channel][b] += EVC_STEP_RISE * rises[b];
            }
    }
}
