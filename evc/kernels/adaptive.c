/* Adaptive integers for streams that are coded call by call: evc/format/streams/integers.py and changes.py. */
#include "adaptive.h"

/* A call accounts for its own symbols only, in the first place. */
static void begin(evc_port *port) {
    port->kind = 0;
    port->counts[0] = 0;
    port->charges[0] = 0;
}

void evc_code_unsigned(evc_port *port, int32_t writing, const evc_adaptive *frozen, int32_t *contexts,
                       const int32_t *at, int64_t count, int64_t *values) {
    begin(port);
    if (writing) code_unsigned(WRITE, port, frozen, (Context *)contexts, at, values, (int)count);
    else code_unsigned(READ, port, frozen, (Context *)contexts, at, values, (int)count);
}

void evc_code_flags(evc_port *port, int32_t writing, const evc_adaptive *frozen, int32_t *contexts, const int32_t *at,
                    int64_t count, int32_t *flags) {
    begin(port);
    if (writing) code_flags(WRITE, port, frozen, (Context *)contexts, at, flags, (int)count);
    else code_flags(READ, port, frozen, (Context *)contexts, at, flags, (int)count);
}

void evc_code_changes(evc_port *port, int32_t writing, const evc_adaptive *frozen, int32_t *sizes, int32_t *signs,
                      int64_t least, int64_t most, const int64_t *before, int64_t count, int64_t *levels) {
    Context *of_sizes = (Context *)sizes, *of_signs = (Context *)signs;
    begin(port);
    if (writing) code_changes(WRITE, port, frozen, of_sizes, of_signs, least, most, before, levels, (int)count);
    else code_changes(READ, port, frozen, of_sizes, of_signs, least, most, before, levels, (int)count);
}
