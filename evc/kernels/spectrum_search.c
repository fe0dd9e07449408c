/* By how much the encoder lets steps rise where patterns sound (spec 9.7): as models/spectrum/quantise.py. */
#include "spectrum_search.h"

/* Bits that steps which are `off` cost, about, in a band with `count` coefficients worth coding. */
static double lost(double count, double off) {
    const double octaves = off / EVC_OCTAVE;
    return count * ((exp2(2 * octaves) - 1) / log(4) - octaves);
}

/* Log steps of the next block, if they do not rise, less those that suit what is heard. */
static void find_off(const evc_walk *w, const Block *block, int32_t suited[2][EVC_BANDS], int32_t off[2][EVC_BANDS]) {
    const int32_t *fine = w->geometry->fine[block->depth];
    int32_t levels[2][EVC_BANDS] = {{0}};
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < block->bands; b++) {
            const int64_t at = channel * block->band_stride + b;
            const int32_t heard = block->heard[at], left = block->energies[at];
            levels[channel][b] = energy_log(heard > left ? heard : left);
        }
    evc_relative_steps(w->geometry, block->depth, w->channels, levels, suited);
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < block->bands; b++) {
            const int32_t energy = block->energies[channel * block->band_stride + b];
            const int32_t change = energy > 0 ? energy - (int32_t)w->left.latest[channel][fine[b]] : 0;
            off[channel][b] = w->memory[channel].steps[b] + EVC_STEP_PER_ENERGY * change - suited[channel][b];
            suited[channel][b] += w->gain - EVC_OFFSET_STEP * w->offset;
        }
}

void evc_raise(evc_walk *w, Block *block, const evc_search *how) {
    int32_t suited[2][EVC_BANDS], off[2][EVC_BANDS], common[2] = {0}, own[2][EVC_BANDS];
    double count[2][EVC_BANDS], least = 0, all_as_one = 0, apart = 0;
    int any = 0, different = 0;
    bool differs[2][EVC_BANDS] = {{false}};
    find_off(w, block, suited, off);
    for (int channel = 0; channel < w->channels; channel++) {
        const float *spectra = block->spectra + channel * block->bin_stride;
        double total = 0, weighted = 0;
        for (int b = 0; b < block->bands; b++) {
            const int32_t closest = suited[channel][b] + (off[channel][b] < 0 ? off[channel][b] : 0);
            const float scale = (float)exp2(closest / -(double)EVC_OCTAVE);
            int worth = 0;
            for (int k = block->edges[b]; k < block->edges[b + 1]; k++)
                worth += fabsf(spectra[k]) * scale > how->worth_coding;
            const bool on = block->energies[channel * block->band_stride + b] > 0;
            any |= on;
            count[channel][b] = on ? worth : 0;
            total += count[channel][b];
            weighted += count[channel][b] * off[channel][b];
        }
        common[channel] = -(int32_t)rint(weighted / (total > 1 ? total : 1) / EVC_STEP_RISE);
    }
    if (!any) return;
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < block->bands; b++) {
            const int32_t nearly = off[channel][b] + EVC_STEP_RISE / 2;
            own[channel][b] = -(nearly / EVC_STEP_RISE - (nearly % EVC_STEP_RISE < 0));
            const double as_one = lost(count[channel][b], off[channel][b] + EVC_STEP_RISE * common[channel]);
            const double alone = lost(count[channel][b], off[channel][b] + EVC_STEP_RISE * own[channel][b]);
            differs[channel][b] = as_one - alone > how->band_rise_bits;
            least += lost(count[channel][b], off[channel][b]);
            all_as_one += as_one;
            apart += differs[channel][b] ? alone : as_one;
            different += differs[channel][b] && own[channel][b] != common[channel] &&
                         block->energies[channel * block->band_stride + b] > 0;
        }
    const double bits = how->rise_bits * w->channels;
    const bool rise_as_one = all_as_one + bits < least;
    if (rise_as_one) least = all_as_one + bits;
    const bool rise_apart = apart + bits + how->band_rise_bits * different < least;
    if (!rise_as_one && !rise_apart) return;
    *block->held = 0;
    *block->rising = 1;
    for (int channel = 0; channel < w->channels; channel++)
        for (int b = 0; b < block->bands; b++) {
            const int64_t at = channel * block->band_stride + b;
            const int32_t rise = rise_apart && differs[channel][b] ? own[channel][b] : common[channel];
            block->rises[at] = block->energies[at] > 0 ? (int32_t)clip(rise, -EVC_MOST_RISE, EVC_MOST_RISE) : 0;
        }
}
