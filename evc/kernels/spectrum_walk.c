/* The walk, compiled for each mode, and what follows it at a stream's end (spec 9.11): as
   evc/format/streams/spectrum.py. */
#include "spectrum_walk.h"

static int32_t most_bins(const evc_geometry *geometry) { return geometry->edges[0][geometry->bands[0]]; }

evc_walk *evc_walk_begin(const evc_spectrum_model *model, const evc_geometry *geometry, int32_t channels, int32_t gain,
                         int32_t graded, const int64_t *covered, int32_t count) {
    const int32_t bins = most_bins(geometry), padded = bins + 2 * EDGE;
    evc_walk *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->model = model;
    w->geometry = geometry;
    w->channels = channels;
    w->gain = gain;
    w->graded = graded;
    w->covers = count;
    w->first = 1;
    w->amplitudes = malloc((size_t)(6 * padded + bins) * sizeof *w->amplitudes);
    w->features = malloc((size_t)(bins > EVC_BANDS ? bins : EVC_BANDS) * FEATURES * sizeof *w->features);
    w->outputs = malloc((size_t)(bins > EVC_BANDS ? bins : EVC_BANDS) * 8 * sizeof *w->outputs);
    w->bins = malloc((size_t)bins * sizeof *w->bins);
    w->band_of = malloc((size_t)bins);
    w->ratio = malloc((size_t)bins * sizeof *w->ratio);
    w->covered = malloc((size_t)(2 * count + 1) * sizeof *w->covered);
    if (!w->amplitudes || !w->features || !w->outputs || !w->bins || !w->band_of || !w->ratio || !w->covered) {
        evc_walk_end(w);
        return NULL;
    }
    memcpy(w->covered, covered, (size_t)(2 * count) * sizeof *w->covered);
    for (int32_t i = 0; i < 6 * padded; i++) w->amplitudes[i] = QUIET;
    w->wide = w->amplitudes + 6 * padded;
    for (int k = 0; k < geometry->coarse_bands; k++) w->modes[k] = EVC_STEREO_MODES;
    begin_left(&w->left);
    int32_t steps[2][EVC_BANDS];
    for (int channel = 0; channel < 2; channel++) {
        Memory *memory = &w->memory[channel];
        memory->amplitudes1 = w->amplitudes + 3 * channel * padded;
        memory->amplitudes2 = memory->amplitudes1 + padded;
        memory->now = memory->amplitudes2 + padded;
        for (int b = 0; b < EVC_BANDS; b++) {
            memory->steps[b] = EVC_STEP_REFERENCE;
            steps[channel][b] = gain + EVC_STEP_REFERENCE;
        }
    }
    restart_left(w, 0, steps);
    return w;
}

void evc_walk_end(evc_walk *w) {
    if (!w) return;
    free(w->amplitudes);
    free(w->features);
    free(w->outputs);
    free(w->bins);
    free(w->band_of);
    free(w->ratio);
    free(w->covered);
    free(w->coded);
    free(w);
}

void evc_walk_read(evc_walk *w, evc_port *port, const evc_blocks *blocks, int32_t first, int32_t end, double *places) {
    port->accounting = places != NULL;
    walk(READ, w, port, blocks, first, end, NULL, NULL, NULL, places);
    port->accounting = 0;
}

void evc_walk_write(evc_walk *w, evc_port *port, const evc_blocks *blocks, int32_t first, int32_t end) {
    walk(WRITE, w, port, blocks, first, end, NULL, NULL, NULL, NULL);
}

void evc_walk_search(evc_walk *w, evc_port *port, const evc_blocks *blocks, int32_t first, int32_t end,
                     const evc_search *how, const float *spectra, const int32_t *heard) {
    walk(SEARCH, w, port, blocks, first, end, how, spectra, heard, NULL);
}

/* Escapes, low bits and signs (spec 9.11): magnitudes [count] of what was coded, in order. */
INLINE void code_rest(evc_mode mode, evc_walk *const *walks, int32_t number, evc_port *p) {
    int64_t count = 0, escaped = 0, some = 0;
    for (int32_t i = 0; i < number; i++) count += walks[i]->coded_count;
    if (!count || p->error) return;
    Coded *coded = malloc((size_t)count * sizeof *coded);
    int64_t *values = malloc((size_t)count * sizeof *values), *part = malloc((size_t)count * sizeof *part);
    uint8_t *widths = malloc((size_t)count);
    if (!coded || !values || !part || !widths) {
        p->error = EVC_MEMORY;
        goto end;
    }
    for (int64_t i = 0, at = 0; i < number; at += walks[i++]->coded_count)
        if (walks[i]->coded_count) memcpy(coded + at, walks[i]->coded, (size_t)walks[i]->coded_count * sizeof *coded);
    const int escape = EVC_MAGNITUDE_SYMBOLS - 1;
    for (int64_t i = 0; i < count; i++) {
        values[i] = mode == READ ? coded[i].symbol : llabs((int64_t)*coded[i].at);
        if (coded[i].symbol == escape) part[escaped++] = mode == READ ? 0 : (values[i] >> coded[i].shift) - escape;
    }
    p->kind = EVC_ESCAPES;
    code_golomb(mode, p, part, widths, EVC_MAGNITUDE_ESCAPE_ORDER, escaped);
    if (p->error) goto end;
    for (int64_t i = 0, next = 0; i < count; i++) {
        if (mode == READ && coded[i].symbol == escape) values[i] += part[next++];
    }
    for (int64_t i = 0; i < count; i++) {
        widths[i] = coded[i].shift;
        part[i] = values[i] & (((int64_t)1 << widths[i]) - 1);
    }
    p->kind = EVC_LOW_BITS;
    code_bits(mode, p, part, widths, count);
    for (int64_t i = 0; i < count; i++) {
        if (mode == READ) values[i] = values[i] << coded[i].shift | part[i];
        if (mode == READ && values[i] > EVC_MAX_MAGNITUDE && !p->error) p->error = EVC_COEFFICIENT;
        if (values[i]) some++;
    }
    if (p->error) goto end;
    for (int64_t i = 0, next = 0; i < count; i++)
        if (values[i]) {
            widths[next] = 1;
            part[next++] = *coded[i].at < 0;
        }
    p->kind = EVC_SIGNS;
    code_bits(mode, p, part, widths, some);
    if (p->error || mode != READ) goto end;
    for (int64_t i = 0, next = 0; i < count; i++)
        *coded[i].at = (int32_t)(values[i] && part[next++] ? -values[i] : values[i]);
end:
    free(coded);
    free(values);
    free(part);
    free(widths);
}

void evc_walks_complete(evc_walk *const *walks, int32_t count, evc_port *port, int32_t accounting) {
    port->accounting = accounting;
    code_rest(READ, walks, count, port);
    port->accounting = 0;
}

void evc_walks_write_rest(evc_walk *const *walks, int32_t count, evc_port *port) {
    code_rest(WRITE, walks, count, port);
}
