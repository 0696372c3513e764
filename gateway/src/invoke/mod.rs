//! THE path of a call, whoever asks: wait for a slot, submit the run, wait for its end.
//!
//! Admission, the pool and the runtime meet here and nowhere else. Dropping the future returned by
//! [`Invoker::call`] or [`Invoker::exchange`] leaves the queue or stops the run. Knows not who asked:
//! HTTP, the command line or, later, a job.

mod flow;

pub use flow::{Body, Late};

use crate::error::{Error, Kind};
use crate::exchange::{Exchange, Fate};
use crate::limits::{self, Limits};
use crate::observe::{self, Begin, Observer, Seen};
use crate::registry::Task;
use crate::runtime::{Charge, Done, Memory, Observed, Runtime, Start, StartExchange, memory_full, stopped};
use crate::task::{Arguments, Format, Output, Phase, Timing};
use futures_util::future::{Either, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use unblock_pool::{Budget, Ended, Outcome, Permit, Pool, Refused};

/// One call.
pub struct Call {
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

/// One request for a guest of streams.
pub struct Visit {
    /// The task, as of the caller's snapshot.
    pub task: Arc<Task>,
    /// What the guest is asked.
    pub exchange: Exchange,
    /// Whether the response will be sent without a body (`HEAD`).
    pub bodiless: bool,
    /// See [`Call::wait`].
    pub wait: Option<Duration>,
    /// What can be seen of the run from outside.
    pub observed: Observed,
}

/// How a call ended.
pub struct Finished<T> {
    /// Its result.
    pub result: Result<T, Error>,
    /// Where its time went.
    pub timing: Timing,
}

/// Makes calls.
pub struct Invoker {
    runtime: Arc<Runtime>,
    pool: Arc<Pool>,
    memory: Arc<Memory>,
    observer: Arc<Observer>,
}

impl Invoker {
    /// An invoker over a runtime, a pool and the memory that calls may hold together.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>, pool: Arc<Pool>, memory: Arc<Memory>, observer: Arc<Observer>) -> Self {
        Self { runtime, pool, memory, observer }
    }

    /// What is seen of calls.
    #[must_use]
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// The pool that runs them.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The memory that calls may hold together.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Makes one call and waits for its end.
    pub async fn call(&self, call: Call) -> Finished<Output> {
        call.observed.received(call.arguments.bytes());
        let Admitted { permit, charge, budget, end } =
            match self.admit(&call.task, Some(call.function), call.wait, &call.observed).await {
                Ok(admitted) => admitted,
                Err(refused) => return refused.into(),
            };
        let start = Start {
            runtime: Arc::clone(&self.runtime),
            prepared: Arc::clone(&call.task.prepared),
            function: call.function,
            arguments: call.arguments,
            format: call.format,
            limits: end.limits.clone(),
            charge,
            granted: call.task.granted.clone(),
            observed: call.observed,
        };
        let outcome = self.pool.submit(permit, budget, |run| start.run(run)).await;
        if let Ok((Done { result: Ok(output), .. }, _)) = &outcome {
            end.observed.sent(output.bytes());
        }
        end.of(outcome)
    }

    /// Hands a request to a guest of streams, and waits for the head of its response. The body holds
    /// the run: dropped before its end, it stops it; once it has ended, the guest may go on.
    ///
    /// A failure after the head is told to `late`, and ends the body with an error if it has not
    /// ended before.
    pub async fn exchange(&self, visit: Visit, late: Late) -> Finished<http::Response<Body>> {
        let function = match &visit.exchange {
            Exchange::Call(call) => Some(call.function),
            Exchange::Http(_) | Exchange::Command(_) => None,
        };
        let Admitted { permit, charge, budget, end } =
            match self.admit(&visit.task, function, visit.wait, &visit.observed).await {
                Ok(admitted) => admitted,
                Err(refused) => return refused.into(),
            };
        let (head, mut answered) = oneshot::channel();
        let fate = Fate::default();
        let start = StartExchange {
            runtime: Arc::clone(&self.runtime),
            prepared: Arc::clone(&visit.task.prepared),
            exchange: visit.exchange,
            head,
            fate: fate.clone(),
            limits: end.limits.clone(),
            charge,
            granted: visit.task.granted.clone(),
            observed: visit.observed,
        };
        let mut ticket = self.pool.submit(permit, budget, |run| start.run(run));
        let (reply, ending) = tokio::select! {
            biased;
            reply = &mut answered => match reply {
                Ok(reply) => (Some(reply), Either::Left(ticket)),
                Err(_) => (None, Either::Right(ready(ticket.await))),
            },
            outcome = &mut ticket => (answered.try_recv().ok(), Either::Right(ready(outcome))),
        };
        let Some(reply) = reply else {
            let Finished { result, timing } = end.of(ending.await);
            let unanswered = || Error::internal(anyhow::anyhow!("a run ended well without an answer"));
            return Finished { result: Err(result.err().unwrap_or_else(unanswered)), timing };
        };
        let stream = end.limits.stream;
        let timing = Timing::default();
        Finished { result: Ok(Body::wrap(reply, (ending, end, fate), late, visit.bodiless, stream)), timing }
    }

    /// Waits for a slot.
    async fn admit(
        &self,
        task: &Arc<Task>,
        function: Option<usize>,
        wait: Option<Duration>,
        observed: &Observed,
    ) -> Result<Admitted, Refusal> {
        let arrived = Instant::now();
        let Some(function) = task.counted(function).cloned() else {
            let error = anyhow::anyhow!("task {} has no function {function:?}", task.name);
            return Err(Refusal { error: Error::internal(error), waited: Duration::ZERO });
        };
        let seen = self.observer.begin(Begin {
            figures: Arc::clone(&task.figures),
            function,
            digest: Arc::clone(&task.prepared.digest),
            observed: observed.clone(),
        });
        let mut limits = task.limits.clone();
        if let Some(wait) = wait {
            limits.wall = limits.wall.min(wait);
        }
        let queue_until = arrived.checked_add(limits.queue_wait);
        let admitted = self.permit(task, queue_until).await.and_then(|permit| {
            // Not before its turn: what waits holds no memory of a guest.
            let charge = self.memory.charge(task.prepared.footprint_bytes());
            charge.map(|charge| (permit, charge)).ok_or_else(|| memory_full(&self.memory))
        });
        let (permit, charge) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                let (error, waited) = (error.at(Phase::Queue), arrived.elapsed());
                let timing = Timing { queue: waited, ..Timing::default() };
                seen.end(observe::End { error: Some(&error), timing, level: 0 });
                return Err(Refusal { error, waited });
            }
        };
        let budget = Budget { queue_until, wall: limits.wall, cpu: limits.cpu };
        let (task, observed) = (Arc::clone(task), observed.clone());
        let end = End { seen, task, limits, observed, admission: arrived.elapsed() };
        Ok(Admitted { permit, charge, budget, end })
    }

    /// A slot of the task, waited for no longer than until `queue_until`.
    async fn permit(&self, task: &Task, queue_until: Option<Instant>) -> Result<Permit, Error> {
        // Polls the share first: the common case registers no timer.
        let entered = match queue_until {
            Some(until) => tokio::time::timeout_at(until.into(), task.share.enter()).await.ok(),
            None => Some(task.share.enter().await),
        };
        let Some(entered) = entered else {
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

/// A call that has a slot.
struct Admitted {
    permit: Permit,
    charge: Charge,
    budget: Budget,
    end: End,
}

/// A call that got none.
struct Refusal {
    error: Error,
    waited: Duration,
}

impl<T> From<Refusal> for Finished<T> {
    fn from(refusal: Refusal) -> Self {
        let timing = Timing { queue: refusal.waited, ..Timing::default() };
        Self { result: Err(refusal.error), timing }
    }
}

/// What turns the pool's word on how a run ended into a result.
struct End {
    seen: Seen,
    task: Arc<Task>,
    limits: Limits,
    observed: Observed,
    /// Time before the run was submitted.
    admission: Duration,
}

impl End {
    fn of<T>(self, outcome: Outcome<Done<T>>) -> Finished<T> {
        let Self { seen, task, limits, observed, admission } = self;
        let (result, mut timing, report) = match outcome {
            Ok((done, report)) => (done.result, done.timing, report),
            Err((Ended::Stopped(why), report)) => {
                let mut error = observed.take_stopped().unwrap_or_else(|| stopped(why, &limits));
                match error.kind {
                    Kind::QueueFull => error.retry_after = Some(task.share.retry_after()),
                    Kind::DeadlineExceeded if limits.wall < task.limits.wall => {
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
        seen.end(observe::End { error: result.as_ref().err(), timing, level: report.level });
        Finished { result, timing }
    }

    /// The call has failed, whatever becomes of its run.
    fn failed(self, error: &Error) {
        let timing = Timing { queue: self.admission, ..Timing::default() };
        self.seen.end(observe::End { error: Some(error), timing, level: 0 });
    }
}
