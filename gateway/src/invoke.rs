//! THE path of a call, whoever asks: wait for a slot, submit the run, wait for its end.
//!
//! Admission, the pool and the runtime meet here and nowhere else. Dropping the future returned by
//! [`Invoker::call`] leaves the queue or stops the run. Knows not who asked: HTTP, the command
//! line or, later, a job.

use crate::error::{Error, Kind};
use crate::limits;
use crate::registry::Task;
use crate::runtime::{Observed, Runtime, Start, stopped};
use crate::task::{Arguments, Format, Output, Phase, Timing};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use unblock_pool::{Budget, Ended, Permit, Pool, Refused};

/// One call.
pub struct Call {
    /// The call's id, for logs.
    pub id: Arc<str>,
    /// The task, as of the caller's snapshot.
    pub task: Arc<Task>,
    /// Index into the task's functions.
    pub function: usize,
    /// What the caller sent.
    pub arguments: Arguments,
    /// How the result is to be written.
    pub format: Format,
    /// A shorter wall budget for this call (`Prefer: wait=N`, RFC 7240).
    pub wait: Option<Duration>,
    /// What can be seen of the run from outside.
    pub observed: Observed,
}

/// How a call ended.
pub struct Finished {
    /// Its result.
    pub result: Result<Output, Error>,
    /// Where its time went.
    pub timing: Timing,
}

/// Makes calls.
pub struct Invoker {
    runtime: Arc<Runtime>,
    pool: Arc<Pool>,
}

impl Invoker {
    /// An invoker over a runtime and a pool.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>, pool: Arc<Pool>) -> Self {
        Self { runtime, pool }
    }

    /// Makes one call and waits for its end.
    pub async fn call(&self, call: Call) -> Finished {
        let arrived = Instant::now();
        let counts = InFlight::enter(&call.task);
        let mut limits = call.task.limits.clone();
        if let Some(wait) = call.wait {
            limits.wall = limits.wall.min(wait);
        }
        let queue_until = arrived + limits.queue_wait;
        let permit = match self.permit(&call.task, queue_until).await {
            Ok(permit) => permit,
            Err(error) => {
                let timing = Timing { queue: arrived.elapsed(), ..Timing::default() };
                return counts.finish(Finished { result: Err(error.at(Phase::Queue)), timing });
            }
        };
        let admission = arrived.elapsed();
        let budget = Budget { queue_until: Some(queue_until), wall: limits.wall, cpu: limits.cpu };
        let start = Start {
            runtime: Arc::clone(&self.runtime),
            prepared: Arc::clone(&call.task.prepared),
            function: call.function,
            arguments: call.arguments,
            format: call.format,
            limits: limits.clone(),
            granted: call.task.granted.clone(),
            observed: call.observed.clone(),
        };
        let (result, mut timing, report) = match self.pool.submit(permit, budget, |run| start.run(run)).await
        {
            Ok((done, report)) => (done.result, done.timing, report),
            Err((Ended::Stopped(why), report)) => {
                let mut error = call.observed.take_stopped().unwrap_or_else(|| stopped(why, &limits));
                match error.kind {
                    Kind::QueueFull => error.retry_after = Some(call.task.share.retry_after()),
                    Kind::DeadlineExceeded if limits.wall < call.task.limits.wall => {
                        let wait = limits::duration(limits.wall);
                        error.detail =
                            format!("the run did not end within the {wait} that the request asked to wait");
                        error = error.limit("wait", wait);
                    }
                    _ => {}
                }
                (Err(error.at(Phase::Run)), Timing { run: report.wall, ..Timing::default() }, report)
            }
            Err((Ended::Panicked(message), report)) => {
                let error = Error::internal(anyhow::anyhow!("host code panicked during a run: {message}"));
                (Err(error), Timing { run: report.wall, ..Timing::default() }, report)
            }
        };
        timing.queue = admission + report.queue;
        timing.cpu = report.cpu;
        counts.finish(Finished { result, timing })
    }

    /// A slot of the task, waited for no longer than until `queue_until`.
    async fn permit(&self, task: &Task, queue_until: Instant) -> Result<Permit, Error> {
        // Polls the share first: the common case registers no timer.
        let Ok(entered) = tokio::time::timeout_at(queue_until.into(), task.share.enter()).await else {
            let mut error = stopped(unblock_pool::Stop::QueueWait, &task.limits);
            error.retry_after = Some(task.share.retry_after());
            return Err(error);
        };
        entered.map_err(|refused| match refused {
            Refused::QueueFull { retry_after } => {
                let mut error = Error::new(
                    Kind::QueueFull,
                    format!(
                        "{} runs of this task are in flight and {} calls wait; try again later",
                        task.limits.concurrency, task.limits.queue
                    ),
                )
                .limit("queue", task.limits.queue.to_string());
                error.retry_after = Some(retry_after);
                error
            }
            Refused::Draining => {
                let mut error =
                    Error::new(Kind::Draining, "the gateway takes no new calls; try another instance");
                error.retry_after = Some(DRAINING_RETRY);
                error
            }
        })
    }
}

/// When to try again while the gateway shuts down: a restart takes about that long.
const DRAINING_RETRY: Duration = Duration::from_secs(5);

/// Counts a call of a task while it is under way, also when its future is dropped.
struct InFlight<'a>(&'a Task);

impl<'a> InFlight<'a> {
    fn enter(task: &'a Arc<Task>) -> Self {
        task.counts.calls.fetch_add(1, Ordering::Relaxed);
        task.counts.running.fetch_add(1, Ordering::Relaxed);
        Self(task)
    }

    fn finish(self, finished: Finished) -> Finished {
        if finished.result.is_err() {
            self.0.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
        finished
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}
