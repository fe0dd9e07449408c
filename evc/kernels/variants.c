#include "variants.h"

bool evc_wider;
double evc_octave[EVC_OCTAVE];

void evc_prepare_sound(void) {
#ifdef CHOICE
    __builtin_cpu_init();
    evc_wider = __builtin_cpu_supports("avx2");
#endif
    for (int i = 0; i < EVC_OCTAVE; i++) evc_octave[i] = exp2((double)i / EVC_OCTAVE);
}
