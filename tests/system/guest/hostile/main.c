/* SPDX-License-Identifier: MIT */
/*
 * hostile.ko: takes the virtio-gpu device, and attacks whoever serves it.
 *
 *   insmod hostile.ko [base=0x2000000] [seed=N]
 *   echo WAYS >/sys/module/hostile/parameters/run     WAYS: letters of those below; empty: stop
 *   cat /sys/module/hostile/parameters/counts
 *
 *   c  malformed commands       q  quotas: resources, contexts, bytes, fences
 *   r  the queues themselves    m  registers
 *   x  the test build's command to crash (gpudom-worker-compromised)
 *
 * The guest is booted with initcall_blacklist=virtio_gpu_driver_init: Linux' driver, when it is
 * unbound, frees memory that the device still has mapped, and then no driver can have grants for it
 * until a reboot.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/virtio.h>
#include <linux/virtio_ids.h>

#include "hostile.h"

/* tests/compromised/compromised.h */
#define CRASH_WIDTH 511u

static unsigned long base = 0x2000000;
module_param(base, ulong, 0444);
MODULE_PARM_DESC(base, "address of the device's registers");
static unsigned long seed = 1;
module_param(seed, ulong, 0444);
static unsigned crash = 1;
module_param(crash, uint, 0644);
MODULE_PARM_DESC(crash, "how the test build ends: 1 abort, 2 fault, 3 hang, ... (compromised.h)");

static struct hostile *hostile; /* the one device */
static struct task_struct *thread;
static char ways[16];
static DEFINE_MUTEX(lock);

static bool hostile_stop(void)
{
	return kthread_should_stop();
}

/* It is not answered: whoever takes it up dies, and so does the next one, until the device is
 * reset. */
static void hostile_crash(struct hostile *h)
{
	struct virtio_gpu_resource_create_2d c = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		.resource_id = 1,
		.format = 1,
		.width = CRASH_WIDTH,
		.height = crash };

	if (!hostile_start(h))
		return;
	h->counts.crashes++;
	memcpy(hostile_slot(h, 0), &c, sizeof(c));
	hostile_post(h, 0, 0, sizeof(c), sizeof(c.hdr));
	hostile_kick(h, 0);
	hostile_wait(h, 0, 1000);
}

static int hostile_thread(void *data)
{
	struct hostile *h = data;
	unsigned long n = 0;
	char way = ways[0];

	hostile_start(h);
	while (!kthread_should_stop()) {
		/* A while of one, then the next. */
		if (n++ % 50 == 0 || way == 'q')
			way = ways[hostile_random(h, strlen(ways))];
		switch (way) {
		case 'c':
			hostile_commands(h);
			break;
		case 'q':
			hostile_quotas(h);
			break;
		case 'r':
			hostile_rings(h);
			break;
		case 'm':
			hostile_registers(h);
			break;
		case 'x':
			hostile_crash(h);
			break;
		}
		if (way != 'c' && ways[1] && n % 50 == 0)
			hostile_start(h);
		cond_resched();
	}
	hostile_reset(h);
	return 0;
}

static void hostile_stop_thread(void)
{
	if (thread)
		kthread_stop(thread);
	thread = NULL;
}

static int run_set(const char *value, const struct kernel_param *kp)
{
	struct task_struct *task;
	char text[sizeof(ways)];
	int error = 0;

	strscpy(text, value, sizeof(text));
	strim(text);
	if (text[strspn(text, "cqrmx")])
		return -EINVAL;
	mutex_lock(&lock);
	hostile_stop_thread();
	strscpy(ways, text, sizeof(ways));
	if (*ways && !hostile)
		error = -ENODEV;
	else if (*ways) {
		task = kthread_run(hostile_thread, hostile, "hostile");
		if (IS_ERR(task))
			error = PTR_ERR(task);
		else
			thread = task;
	}
	mutex_unlock(&lock);
	return error;
}

static int run_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", ways);
}

static const struct kernel_param_ops run_ops = { .set = run_set, .get = run_get };
module_param_cb(run, &run_ops, NULL, 0600);

static int counts_get(char *buffer, const struct kernel_param *kp)
{
	const struct hostile_counts *c = hostile ? &hostile->counts : NULL;

	if (!c)
		return sysfs_emit(buffer, "no device\n");
	return sysfs_emit(buffer,
	    "commands=%lu answered=%lu errors=%lu lost=%lu rings=%lu registers=%lu kicks=%lu resets=%lu "
	    "needs_reset=%lu unready=%lu resources=%lu contexts=%lu pixels_mib=%lu backings_mib=%lu fences=%lu "
	    "refused=%lu crashes=%lu\n",
	    c->commands, c->answered, c->errors, c->lost, c->rings, c->registers, c->kicks,
	    c->resets, c->needs_reset, c->unready, c->resources, c->contexts, c->pixels_mib,
	    c->backings_mib, c->fences, c->refused, c->crashes);
}

static const struct kernel_param_ops counts_ops = { .get = counts_get };
module_param_cb(counts, &counts_ops, NULL, 0444);

static int hostile_probe(struct virtio_device *vdev)
{
	struct hostile *h;
	char *rings;
	dma_addr_t dma;

	if (hostile)
		return -EBUSY;
	h = devm_kzalloc(&vdev->dev, sizeof(*h), GFP_KERNEL);
	if (!h)
		return -ENOMEM;
	h->dma = vdev->dev.parent;
	h->random = seed * 0x9e3779b97f4a7c15ull | 1;
	h->stop = hostile_stop;
	h->registers = ioremap(base, 0x200);
	h->arena = dma_alloc_coherent(h->dma, ARENA_SIZE, &h->arena_dma, GFP_KERNEL);
	rings = dma_alloc_coherent(h->dma, QUEUES * 3 * PAGE_SIZE, &dma, GFP_KERNEL);
	if (!h->registers || !h->arena || !rings)
		return -ENOMEM; /* and leaks what there is: the guest is thrown away */
	for (unsigned i = 0; i < QUEUES; i++, rings += 3 * PAGE_SIZE, dma += 3 * PAGE_SIZE)
		h->queues[i] = (struct hostile_queue){
			.ring = { .num = QUEUE_SIZE,
			    .desc = (void *)rings,
			    .avail = (void *)(rings + PAGE_SIZE),
			    .used = (void *)(rings + 2 * PAGE_SIZE) },
			.desc = dma,
			.avail = dma + PAGE_SIZE,
			.used = dma + 2 * PAGE_SIZE,
		};
	hostile = h;
	return 0;
}

static void hostile_remove(struct virtio_device *vdev)
{
	struct hostile *h = hostile;

	mutex_lock(&lock);
	hostile_stop_thread();
	hostile = NULL;
	mutex_unlock(&lock);
	hostile_reset(h);
	dma_free_coherent(
	    h->dma, QUEUES * 3 * PAGE_SIZE, h->queues[0].ring.desc, h->queues[0].desc);
	dma_free_coherent(h->dma, ARENA_SIZE, h->arena, h->arena_dma);
	iounmap(h->registers);
}

static const struct virtio_device_id ids[] = { { VIRTIO_ID_GPU, VIRTIO_DEV_ANY_ID }, { 0 } };

static struct virtio_driver hostile_driver = {
	.driver.name = "hostile",
	.id_table = ids,
	.probe = hostile_probe,
	.remove = hostile_remove,
};
module_virtio_driver(hostile_driver);

MODULE_DESCRIPTION("gpudom's hostile guest");
MODULE_LICENSE("Dual MIT/GPL");
