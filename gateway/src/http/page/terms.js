// What the page's words mean: told where the words stand, to whoever points at them.

import { el } from "./dom.js";

/** How long an average of the processors is taken over; that of the latency is the same. */
export const RECENT = "mean of the last 10 s";

export const MEANS = {
  calls: "Calls that came, per second",
  flight: "Calls that have come and not ended: they wait for a slot, run, or are parked",
  failed: "The part of the calls that failed, of those that ended within the last 1 to 2 minutes",
  p50: "Half of the calls took no longer, of those that ended within the last 1 to 2 minutes; estimated within a bucket of durations",
  p99: "99 of 100 calls took no longer, of those that ended within the last 1 to 2 minutes; estimated within a bucket of durations",
  latency: "p50: half of the calls took no longer. p99: 99 of 100 took no longer. Estimated within a bucket of durations",
  cpu: `The part of the time of all workers that the task computed, ${RECENT}`,
  memory: "The most memory that one run held at once",
  workers: "Threads that run guests; one is busy while it computes",
  slots: "Runs that may be in flight at once, with their memory; a call waits until it gets one (--max-runs)",
  held: "Memory of the guests of all calls in flight",
  level: "A run begins on level 0 and falls to the next one the longer it computes; lower levels give way to higher ones",
  parked: "Runs that wait for something, a timer or the network, and take no worker meanwhile",
  urgent: "Runs whose time is over or whose caller is gone: they go first, to their end",
  slices: "Turns on a worker; a run that computes for long gets many",
  preemptions: "Runs that gave their worker to another one before they were done",
  demotions: "Runs that fell to a lower level, since they had computed for long",
};

/** Words with what they mean. */
export function term(name, text) {
  return el("span", { class: "term", title: MEANS[name], text });
}
