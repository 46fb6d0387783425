/* SPDX-License-Identifier: MIT */
#include "xen/policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "xen/config_values.h"

static void policy_duration(
    const struct config *config, const char *guest, const char *key, uint32_t *ms)
{
	const char *value = config_get(config, guest, key);

	if (value)
		config_parse_duration(value, ms);
}

/* The values were found valid when they were read. */
void config_policy(const struct config *config, const char *guest, struct guest_policy *policy)
{
	const char *value;

	*policy = GUEST_POLICY_DEFAULT;
	value = config_get(config, guest, "crash-limit");
	if (value)
		config_parse_crashes(value, &policy->crash_limit, &policy->crash_window_s);
	policy_duration(config, guest, "hang-timeout", &policy->hang_timeout_ms);
	policy_duration(config, guest, "flush-deadline", &policy->flush_deadline_ms);
	policy_duration(config, guest, "signal-lost-after", &policy->signal_lost_ms);
	value = config_get(config, guest, "signal-lost-image");
	if (value)
		snprintf(policy->signal_lost_image, sizeof(policy->signal_lost_image), "%s", value);
	value = config_get(config, guest, "cpu-weight");
	if (value)
		policy->cpu_weight = (uint32_t)strtoul(value, NULL, 10);
	value = config_get(config, guest, "cpu-max");
	if (value)
		config_parse_percent(value, UINT32_MAX, &policy->cpu_max_percent);
	value = config_get(config, guest, "memory-max");
	if (value)
		config_parse_size(value, UINT64_MAX, &policy->memory_max);
}
