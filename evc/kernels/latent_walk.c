/* The latents of a segment, column by column and pass by pass (spec 8.2): as evc/format/streams/latent.py and
   latent_model.py. One body reads, writes, counts and chooses. */
#include "latents.h"

#include "port.h"

typedef enum { READING, WRITING, COUNTING, CHOOSING } Task;

enum { BLOCKS = 5, LAST = 0, BEFORE_LAST = 1, SLOW = 2, SLOWER = 3, NOW = 4, SHARED = 3, OUTPUTS = 8, YOUNG = 7 };

/* What is known: K and V of the specification, and the averages A and B. Then, of the latents of a pass, u >> 2, rows,
   low bits, what is left of them without these, and room for what is coded together. */
typedef struct {
    const evc_latent_model *model;
    int16_t *known, *values;
    int32_t *slow[2], *centres, *starts, *rows;
    int64_t *counted, *part;
    uint8_t *low, *widths;
    void *room;
} Walk;

static int32_t level(int64_t value) {
    const int64_t one_more = (value < 0 ? -value : value) + 1;
    const int octave = floor_log2((uint64_t)one_more);
    const int64_t found = EVC_LATENT_LEVEL_OCTAVE * (octave - 1) + ((EVC_LATENT_LEVEL_OCTAVE * one_more) >> octave);
    return (int32_t)(found < EVC_FEATURE_LIMIT ? found : EVC_FEATURE_LIMIT);
}

/* False where there is no memory. */
static bool begin(Walk *w, const evc_latent_model *model, int32_t step) {
    const size_t size = (size_t)model->dimensions, predicted = (size_t)model->predicted;
    const size_t known = BLOCKS * size + predicted + SHARED, values = 3 * predicted + 1, wide = size + OUTPUTS;
    const size_t bytes = 16 * size + 4 * (3 * wide + 2 * size) + 2 * (known + values) + 2 * size;
    memset(w, 0, sizeof *w);
    w->model = model;
    w->room = calloc(1, bytes);
    if (!w->room) return false;
    w->counted = w->room;
    w->part = w->counted + size;
    w->slow[0] = (int32_t *)(w->part + size);
    w->slow[1] = w->slow[0] + size;
    w->centres = w->slow[1] + size;
    w->starts = w->centres + wide;
    w->rows = w->starts + wide;
    w->known = (int16_t *)(w->rows + wide);
    w->values = w->known + known;
    w->low = (uint8_t *)(w->values + values);
    w->widths = w->low + size;
    w->known[known - SHARED + 1] = (int16_t)(step - (1 << (EVC_LATENT_STEP_BITS - 1)));
    return true;
}

/* Rows and low bits of a pass: its dimensions are from `first` up to `end` in the order of the model. */
INLINE void predict(Walk *w, int32_t pass, int32_t first, int32_t end) {
    const evc_latent_model *m = w->model;
    const evc_layer *centre = &m->centres[pass];
    evc_layer own[EVC_MOST_LATENT_LAYERS];
    memcpy(own, m->network, (size_t)m->layers * sizeof *own);
    if (centre->outputs) {
        evc_network(centre, 1, w->values, 1, w->centres);
        int16_t *levels = w->known + BLOCKS * m->dimensions - (m->dimensions - m->predicted);
        for (int32_t i = 0; i < end - first; i++) levels[m->at[first + i]] = (int16_t)level(w->centres[i]);
    }
    for (int32_t i = 0; i < end - first; i++) {
        const int32_t *look = m->look + (int64_t)(first + i) * m->looked;
        int16_t inputs[EVC_WIDEST];
        int32_t out[OUTPUTS];
        for (int32_t k = 0; k < m->looked; k++) inputs[k] = w->known[look[k]];
        inputs[m->looked] = 0; /* where their number is odd */
        own[0].biases = m->first + (int64_t)(first + i) * own[0].outputs;
        evc_network(own, m->layers, inputs, 1, out);
        const int32_t scale = (int32_t)clip(out[0], 0, EVC_MOST_LATENT_SCALE);
        const int32_t above = scale - (EVC_LATENT_SCALES - EVC_LATENT_RESOLUTION);
        const int32_t low = above > 0 ? above / EVC_LATENT_RESOLUTION : 0, place = scale - EVC_LATENT_RESOLUTION * low;
        w->low[i] = (uint8_t)low;
        if (centre->outputs) {
            const int32_t quarter = w->centres[i] & (EVC_LATENT_QUARTERS - 1);
            w->rows[i] = EVC_LATENT_QUARTERS * place + quarter;
            w->starts[i] = (w->centres[i] - quarter) / EVC_LATENT_QUARTERS;
        } else {
            w->rows[i] = EVC_LATENT_SCALES * (int32_t)clip(out[1], 0, EVC_LATENT_SHAPES - 1) + place;
            w->starts[i] = 0;
        }
    }
}

/* What is left of a latent of a pass without its low bits. */
INLINE int64_t coarse_of(const Walk *w, bool sign, int32_t i, int64_t latent) {
    return (sign ? latent - w->starts[i] : latent < 0 ? -latent : latent) >> w->low[i];
}

INLINE int32_t symbol_of(bool sign, int64_t coarse) {
    return (int32_t)clip(coarse, -EVC_LATENT_ESCAPE, EVC_LATENT_ESCAPE) + (sign ? EVC_LATENT_ESCAPE : 0);
}

INLINE float cost(const Walk *w, const evc_table *table, bool sign, int32_t i, int64_t latent) {
    const int64_t coarse = coarse_of(w, sign, i, latent), size = coarse < 0 ? -coarse : coarse;
    float bits = table->bits[w->rows[i] * table->symbols + symbol_of(sign, coarse)] + (float)w->low[i];
    if (!sign && latent) bits += 1;
    if (size >= EVC_LATENT_ESCAPE) {
        const uint64_t beyond = (uint64_t)(size - EVC_LATENT_ESCAPE + (1 << EVC_LATENT_ESCAPE_ORDER));
        bits += (float)(2 * floor_log2(beyond) + 1 - EVC_LATENT_ESCAPE_ORDER);
    }
    return bits;
}

/* Codes `count` latents of a pass, or their magnitudes, which are in, or come to be in, `counted`: symbols, escapes,
   low bits. */
INLINE void code(evc_mode mode, Walk *w, evc_port *p, const evc_table *table, bool sign, int32_t count) {
    const int32_t middle = sign ? EVC_LATENT_ESCAPE : 0;
    int64_t escaped = 0, *const counted = w->counted;
    for (int32_t i = 0; i < count; i++) {
        const int64_t coarse = mode == READ ? 0 : counted[i] >> w->low[i];
        const int32_t found = code_symbol(mode, p, table, w->rows[i], symbol_of(sign, coarse)) - middle;
        w->centres[i] = found;
        if (abs(found) == EVC_LATENT_ESCAPE)
            w->part[escaped++] = llabs(coarse) - (mode == READ ? 0 : EVC_LATENT_ESCAPE);
    }
    if (p->error) return;
    code_golomb(mode, p, w->part, w->widths, EVC_LATENT_ESCAPE_ORDER, escaped);
    if (p->error) return;
    for (int32_t i = 0, next = 0; mode == READ && i < count; i++) {
        counted[i] = w->centres[i];
        if (abs(w->centres[i]) == EVC_LATENT_ESCAPE) counted[i] += counted[i] < 0 ? -w->part[next++] : w->part[next++];
    }
    for (int32_t i = 0; i < count; i++) w->part[i] = counted[i] & (((int64_t)1 << w->low[i]) - 1);
    code_bits(mode, p, w->part, w->low, count);
    for (int32_t i = 0; mode == READ && i < count; i++)
        counted[i] = counted[i] * ((int64_t)1 << w->low[i]) + w->part[i];
}

/* Of the integers near what is `wanted`, and zero, the one of least error and bits. */
INLINE int64_t choice(const Walk *w, const evc_table *table, bool sign, int32_t i, float wanted, float worth) {
    const int64_t nearest = (int64_t)rintf(wanted), tried[4] = {nearest, nearest - 1, nearest + 1, 0};
    double least = INFINITY;
    int64_t found = 0;
    for (int k = 0; k < 4; k++) {
        const double error = (double)wanted - (double)tried[k];
        const double total = error * error + (double)(worth * cost(w, table, sign, i, tried[k]));
        if (total < least) {
            least = total;
            found = tried[k];
        }
    }
    return found;
}

/* Goes on to the next column, the number of which is given. */
static void advance(Walk *w, int64_t column) {
    const int32_t size = w->model->dimensions, predicted = w->model->predicted;
    int16_t *known = w->known, *values = w->values;
    const int16_t *now = known + NOW * size;
    memcpy(known + BEFORE_LAST * size, known + LAST * size, (size_t)size * sizeof *known);
    memcpy(known + LAST * size, now, (size_t)size * sizeof *known);
    static const int shifts[2] = EVC_LATENT_SLOW_SHIFTS;
    for (int which = 0; which < 2; which++)
        for (int32_t d = 0; d < size; d++) {
            int32_t *average = &w->slow[which][d];
            *average += (now[d] * (1 << EVC_LATENT_SLOW_BITS) - *average) >> shifts[which];
            known[(SLOW + which) * size + d] = (int16_t)(*average >> EVC_LATENT_SLOW_BITS);
        }
    memset(known + NOW * size, 0, (size_t)(size + predicted) * sizeof *known);
    memcpy(values + predicted, values, (size_t)predicted * sizeof *values);
    memcpy(values, values + 2 * predicted, (size_t)predicted * sizeof *values);
    memset(values + 2 * predicted, 0, (size_t)predicted * sizeof *values);
    const int64_t age = column < YOUNG ? column : YOUNG;
    known[BLOCKS * size + predicted + 2] = (int16_t)((1 << (EVC_LATENT_STEP_BITS - 1)) >> age);
}

/* What is known of a latent from now on. */
INLINE void add(Walk *w, int32_t d, int64_t latent) {
    const int32_t first = w->model->dimensions - w->model->predicted;
    w->known[NOW * w->model->dimensions + d] = (int16_t)level(latent);
    if (d >= first)
        w->values[2 * w->model->predicted + d - first] = (int16_t)clip(latent, -EVC_LATENT_REACH, EVC_LATENT_REACH);
}

/* Latents of one column [dimensions]; returns false where one that is read is out of range, or after an error. */
INLINE bool code_column(Task task, Walk *w, evc_port *p, int64_t *latents, double *bits, const float *wanted,
                        float worth, int64_t *chosen) {
    const evc_latent_model *m = w->model;
    for (int32_t pass = 0, first = 0; pass < m->passes; first = m->ends[pass++]) {
        const int32_t count = m->ends[pass] - first, *at = m->at + first;
        const bool sign = m->centres[pass].outputs > 0;
        const evc_table *table = sign ? m->differences : m->magnitudes;
        predict(w, pass, first, first + count);
        for (int32_t i = 0; task == WRITING && i < count; i++)
            w->counted[i] = sign ? latents[at[i]] - w->starts[i] : llabs(latents[at[i]]);
        for (int32_t i = 0; task == COUNTING && i < count; i++) *bits += cost(w, table, sign, i, latents[at[i]]);
        for (int32_t i = 0; task == CHOOSING && i < count; i++)
            chosen[at[i]] = choice(w, table, sign, i, wanted[at[i]], worth);
        if (task == READING || task == WRITING) {
            code(task == READING ? READ : WRITE, w, p, table, sign, count);
            if (p->error) return false;
        }
        for (int32_t i = 0; task == READING && i < count; i++) {
            latents[at[i]] = w->counted[i] + w->starts[i];
            if (llabs(latents[at[i]]) > EVC_MAX_LATENT) return false;
        }
        for (int32_t i = 0; i < count; i++) add(w, at[i], latents[at[i]]);
    }
    return true;
}

int32_t evc_latents_read(const evc_latent_model *model, evc_port *port, int32_t step, int64_t columns,
                         int64_t *latents) {
    Walk w;
    if (!begin(&w, model, step)) port->error = EVC_MEMORY;
    bool good = !port->error;
    for (int64_t column = 0; good && column < columns; column++) {
        advance(&w, column);
        good = code_column(READING, &w, port, latents + column * model->dimensions, NULL, NULL, 0, NULL);
    }
    free(w.room);
    return !good && !port->error;
}

void evc_latents_write(const evc_latent_model *model, evc_port *port, int32_t step, int64_t columns,
                       const int64_t *latents) {
    Walk w;
    if (!begin(&w, model, step)) port->error = EVC_MEMORY;
    for (int64_t column = 0; !port->error && column < columns; column++) {
        advance(&w, column);
        code_column(WRITING, &w, port, (int64_t *)latents + column * model->dimensions, NULL, NULL, 0, NULL);
    }
    free(w.room);
}

int32_t evc_latents_bits(const evc_latent_model *model, int32_t step, int64_t columns, const int64_t *latents,
                         double *bits) {
    Walk w;
    if (!begin(&w, model, step)) return EVC_MEMORY;
    for (int64_t column = 0; column < columns; column++) {
        advance(&w, column);
        bits[column] = 0;
        code_column(COUNTING, &w, NULL, (int64_t *)latents + column * model->dimensions, bits + column, NULL, 0, NULL);
    }
    free(w.room);
    return EVC_OK;
}

int32_t evc_latents_choose(const evc_latent_model *model, int32_t step, int64_t columns, const float *wanted,
                           float rounding, float worth, int64_t *chosen) {
    const int32_t size = model->dimensions;
    Walk w;
    int64_t *guess = malloc((size_t)size * sizeof *guess);
    const bool good = begin(&w, model, step) && guess;
    for (int64_t column = 0; good && column < columns; column++) {
        const float *one = wanted + column * size;
        for (int32_t d = 0; d < size; d++) guess[d] = (int64_t)copysignf(floorf(fabsf(one[d]) + rounding), one[d]);
        advance(&w, column);
        code_column(CHOOSING, &w, NULL, guess, NULL, one, worth, chosen + column * size);
    }
    free(w.room);
    free(guess);
    return good ? EVC_OK : EVC_MEMORY;
}
