/* Adaptive integers (spec 6.2, 6.6) for streams that are read call by call: the calls of evc/format/streams/integers.py
   and changes.py. */
#include "adaptive.h"

void evc_read_unsigned(evc_port *port, const evc_adaptive *frozen, int32_t *contexts, const int32_t *at, int64_t count,
                       int64_t *values) {
    code_unsigned(READ, port, frozen, (Context *)contexts, at, values, (int)count);
}

void evc_read_flags(evc_port *port, const evc_adaptive *frozen, int32_t *contexts, const int32_t *at, int64_t count,
                    int32_t *flags) {
    code_flags(READ, port, frozen, (Context *)contexts, at, flags, (int)count);
}

void evc_read_changes(evc_port *port, const evc_adaptive *frozen, int32_t *sizes, int32_t *signs, int64_t least,
                      int64_t most, const int64_t *before, int64_t count, int64_t *levels) {
    code_changes(READ, port, frozen, (Context *)sizes, (Context *)signs, least, most, before, levels, (int)count);
}
