/* SPDX-License-Identifier: MIT */
/* The commands of gpudomctl. Each gets its own arguments, with its name as argv[0], and returns the
 * exit status. */
#ifndef GPUDOM_TOOLS_CTL_H
#define GPUDOM_TOOLS_CTL_H

/* 0: done. The doctor's 1 and 2 mean something else (doctor_exit_status()). */
#define CTL_EXIT_REFUSED 1     /* gpudomd says no, or it has not the desired effect */
#define CTL_EXIT_UNREACHABLE 2 /* gpudomd does not run, or may not be asked */
#define CTL_EXIT_ERROR 3       /* wrong options, or it could not do its work */

int ctl_doctor(int argc, char **argv);
int ctl_log_level(int argc, char **argv);
int ctl_block(int argc, char **argv);
int ctl_unblock(int argc, char **argv);
int ctl_focus(int argc, char **argv);
int ctl_output(int argc, char **argv);
int ctl_reload(int argc, char **argv);
int ctl_reset(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_metrics(int argc, char **argv);
int ctl_screenshot(int argc, char **argv);
int ctl_trace(int argc, char **argv);

#endif
