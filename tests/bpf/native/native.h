/* Filters of the base library as C functions. */
#pragma once

#include "leat/abi/filter.h"

int native_antispoof_egress(struct leat_pkt_ctx *ctx);
int native_antispoof_ingress(struct leat_pkt_ctx *ctx);
void native_antispoof_init(const struct leat_identity *id);
