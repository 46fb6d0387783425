/* SPDX-License-Identifier: MIT */
/* The commands of gpudomctl. Each gets its own arguments, with its name as argv[0], and returns the
 * exit status. */
#ifndef GPUDOM_TOOLS_CTL_H
#define GPUDOM_TOOLS_CTL_H

/* Wrong options, or it could not do its work. 0 to 2 are the commands' own. */
#define CTL_EXIT_ERROR 3

int ctl_doctor(int argc, char **argv);

#endif
