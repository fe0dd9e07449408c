/* Transforms of EVC_WINDOW samples (spec 10.10). */
#pragma once
#include "latents.h"

/* Makes tables; once. */
void evc_start_spectra(void);
