/* SPDX-License-Identifier: MIT */
#ifndef GPUDOM_TOOLS_CTL_OUTPUT_H
#define GPUDOM_TOOLS_CTL_OUTPUT_H

/* GUEST[:OUTPUT], which is cut at its colon. A name may have a colon, too: what is behind the last
 * one must be a number. -1: said what is wrong. */
int ctl_parse_output(const char *command, char *text, char **guest, unsigned *output);

#endif
