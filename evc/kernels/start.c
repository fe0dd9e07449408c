/* What is done once, before anything else (evc/kernels/__init__.py). */
#include "start.h"

#include "variants.h"

bool evc_wider;

uint32_t evc_built_from(void) { return EVC_SOURCES; }

void evc_start(void) {
    evc_widen(1);
    evc_start_port();
    evc_start_coefficients();
    evc_start_spectra();
}

int32_t evc_widen(int32_t wanted) {
#ifdef CHOICE
    __builtin_cpu_init();
    evc_wider = wanted && __builtin_cpu_supports("avx2");
#else
    (void)wanted;
#endif
    return evc_wider;
}
