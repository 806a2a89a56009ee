//! The slow work inside a daemon: walks over the whole store, one at a time, in a thread that stands
//! back for everybody.
//!
//! The thread is there only while there is work. [`Keeper::run`] waits for what is due by the notes of
//! the last walks ([`schedule`]) or asked for by an operator, starts it, and interrupts it for what is
//! more urgent; a walk that is interrupted goes on where it stopped. What a walk does to the store it
//! asks of the store, as any client does.

mod count;
mod expire;
mod job;
mod notebook;
mod pass;
mod priority;
mod remembered;
mod schedule;
mod scrub;
mod tally;
mod wait;
mod workshop;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bucketfs::view::Stop;
use protocol::control::{self, Pass, Progress, Reason, Refused, Reply, Task};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::sleep;
use tracing::{error, warn};

pub(crate) use job::Job;
pub(crate) use remembered::remembered;
pub(crate) use workshop::Workshop;

use crate::status::now;

/// Starts walks, one at a time.
pub(crate) struct Keeper {
    workshop: Arc<Workshop>,
    /// Since when the daemon runs, in seconds since 1970.
    started: u64,
    state: Mutex<State>,
    /// Something was asked for.
    asked: Notify,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    wanted: Option<Wanted>,
    /// Walks that are not begun before these times, by themselves.
    put_off: Vec<(Task, u64)>,
    stopping: bool,
}

struct Running {
    job: Job,
    /// By an operator.
    is_asked: bool,
    stop: Stop,
    heard: watch::Receiver<Reply>,
}

struct Wanted {
    job: Job,
    is_asked: bool,
    told: watch::Sender<Reply>,
}

/// What the thread of a walk is told, and whom it tells.
pub(crate) struct Reins {
    pub(crate) stop: Stop,
    told: watch::Sender<Reply>,
}

impl Reins {
    /// Says how far it is, to whoever listens.
    pub(crate) fn tell(&self, progress: Progress) {
        self.told.send_replace(Reply::Progress(progress));
    }
}

impl Keeper {
    pub(crate) fn new(workshop: Workshop) -> Self {
        Self {
            workshop: Arc::new(workshop),
            started: now(),
            state: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// Begins a walk, or listens to it if it is under way.
    pub(crate) fn begin(&self, job: Job) -> Result<watch::Receiver<Reply>, Refused> {
        self.workshop.allows(job)?;
        let mut state = self.state();
        if state.stopping {
            let message = "the daemon is stopping";
            return Err(Refused::new(Reason::Unavailable, message));
        }
        let busy = |job: Job| {
            let message = format!("{} is under way", job.task().name());
            Err(Refused::new(Reason::NotNow, message))
        };
        if let Some(wanted) = &state.wanted {
            return match wanted.job == job {
                true => Ok(wanted.told.subscribe()),
                false => busy(wanted.job),
            };
        }
        match &mut state.running {
            Some(running) if running.job == job => {
                running.is_asked = true;
                return Ok(running.heard.clone());
            }
            Some(running) if running.is_asked => return busy(running.job),
            Some(running) => running.stop.stop(),
            None => {}
        }
        let (told, heard) = watch::channel(nothing_yet(job));
        state.put_off.retain(|(task, _)| *task != job.task());
        state.wanted = Some(Wanted {
            job,
            is_asked: true,
            told,
        });
        self.asked.notify_one();
        Ok(heard)
    }

    /// Ends a walk, and does not begin it by itself before the next start.
    pub(crate) fn end(&self, task: Task) {
        let mut state = self.state();
        if let Some(running) = state.running.as_ref().filter(|it| it.job.task() == task) {
            running.stop.stop();
        }
        if state
            .wanted
            .as_ref()
            .is_some_and(|it| it.job.task() == task)
        {
            state.wanted = None;
        }
        put_off(&mut state, task, u64::MAX);
    }

    /// Works, whenever there is something to do.
    pub(crate) async fn run(&self) -> Infallible {
        loop {
            self.workshop.ask_whether_counted().await;
            match self.take_next() {
                Next::Work(wanted) => self.work(wanted).await,
                Next::In(pause) => tokio::select! {
                    () = sleep(pause) => {}
                    () = self.asked.notified() => {}
                },
            }
        }
    }

    /// Ends whatever is under way, and begins nothing more; returns when it has ended.
    pub(crate) async fn stop(&self) {
        let heard = {
            let mut state = self.state();
            state.stopping = true;
            state.wanted = None;
            state.running.as_ref().map(|running| {
                running.stop.stop();
                running.heard.clone()
            })
        };
        if let Some(mut heard) = heard {
            // The other end goes with the thread.
            while heard.changed().await.is_ok() {}
        }
    }

    /// The walk that is under way.
    pub(crate) fn work_under_way(&self) -> Option<control::Work> {
        let state = self.state();
        let running = state.running.as_ref()?;
        let millionths = match &*running.heard.borrow() {
            Reply::Progress(progress) => progress.millionths,
            _ => 1_000_000,
        };
        let task = running.job.task();
        Some(control::Work { task, millionths })
    }

    /// How proving goes.
    pub(crate) fn scrub(&self) -> control::Scrub {
        let mut status = self.workshop.scrub_page().status();
        status.every = self.workshop.scrub_every().map(|every| every.as_secs());
        status.next = self.due(Task::Scrub);
        status
    }

    /// How expiry goes.
    pub(crate) fn expiry(&self) -> control::Expiry {
        let mut status = self.workshop.expire_page().status();
        remembered::describe(&mut status, self.workshop.expire());
        status.next = self.due(Task::Expire);
        status
    }

    /// What the last whole walk saw of leases.
    pub(crate) fn leases(&self) -> Option<control::Leases> {
        remembered::latest_leases(self.workshop.last_passes())
    }

    fn take_next(&self) -> Next {
        if let Some(wanted) = self.state().wanted.take() {
            return Next::Work(wanted);
        }
        let now = now();
        let dues = Job::BY_THEMSELVES.map(|task| (task, self.due(task)));
        let is_due = |(_, due): &&(Task, Option<u64>)| due.is_some_and(|due| due <= now);
        let job = dues
            .iter()
            .find(is_due)
            .and_then(|(task, _)| self.workshop.job_by_itself(*task));
        if let Some(job) = job {
            let (told, _) = watch::channel(nothing_yet(job));
            return Next::Work(Wanted {
                job,
                is_asked: false,
                told,
            });
        }
        let next = dues.iter().filter_map(|(_, due)| *due).min();
        Next::In(until(next, now))
    }

    /// When a walk begins by itself, if it does.
    fn due(&self, task: Task) -> Option<u64> {
        let put_off = self.state().put_off.clone();
        let not_before = put_off.iter().find(|(of, _)| *of == task);
        let not_before = not_before.map_or(0, |(_, time)| *time);
        let due = self.workshop.due(task, self.started, now())?;
        Some(due.max(not_before)).filter(|due| *due != u64::MAX)
    }

    async fn work(&self, wanted: Wanted) {
        let Wanted {
            job,
            is_asked,
            told,
        } = wanted;
        let stop = Stop::default();
        self.state().running = Some(Running {
            job,
            is_asked,
            stop: stop.clone(),
            heard: told.subscribe(),
        });
        let reins = Reins {
            stop: stop.clone(),
            told: told.clone(),
        };
        let mut ended = match self.start(job, reins) {
            Ok(ended) => ended,
            Err(error) => {
                let message = format!("no thread for it: {error}");
                let refused = Refused::new(Reason::Failed, message);
                return self.over(job, &told, Some(Reply::Refused(refused)));
            }
        };
        let reply = loop {
            let more_urgent = self.more_urgent(job.task());
            tokio::select! {
                reply = &mut ended => break reply.ok(),
                () = sleep(until(more_urgent, now())), if !stop.is_stopped() => {
                    let is_due = self.more_urgent(job.task()).is_some_and(|due| due <= now());
                    let is_asked = self.state().running.as_ref().is_some_and(|it| it.is_asked);
                    match is_due && !is_asked {
                        true => stop.stop(),
                        // Not to look at it without a pause.
                        false => sleep(LOOK_MIN).await,
                    }
                }
            }
        };
        self.over(job, &told, reply);
    }

    fn start(&self, job: Job, reins: Reins) -> std::io::Result<oneshot::Receiver<Reply>> {
        let workshop = Arc::clone(&self.workshop);
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("keeper".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                priority::lower();
                // Nobody is there any more when the daemon stops.
                let _ = end.send(job.perform(&workshop, &reins));
            })?;
        Ok(ended)
    }

    /// Takes note of how a walk has ended, and only then says so: whoever hears it may ask for the next.
    fn over(&self, job: Job, told: &watch::Sender<Reply>, reply: Option<Reply>) {
        let task = job.task().name();
        let reply = reply.unwrap_or_else(|| {
            let message = "the walk ended by a bug of tahoed's; please report it";
            error!(task, message);
            Reply::Refused(Refused::new(Reason::Failed, message))
        });
        let mut state = self.state();
        state.running = None;
        if let Reply::Refused(refused) = &reply {
            warn!(task, error = %refused, "a walk over the store failed; it is tried again in an hour");
            put_off(
                &mut state,
                job.task(),
                now().saturating_add(RETRY.as_secs()),
            );
        }
        drop(state);
        told.send_replace(reply);
    }

    /// When the next walk is due that does not wait for this one.
    fn more_urgent(&self, task: Task) -> Option<u64> {
        let others = Job::BY_THEMSELVES.into_iter();
        let before = others.take_while(|other| *other != task);
        before.filter_map(|other| self.due(other)).min()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of it is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to do.
enum Next {
    Work(Wanted),
    /// Nothing before so long.
    In(Duration),
}

fn put_off(state: &mut State, task: Task, until: u64) {
    state.put_off.retain(|(other, _)| *other != task);
    state.put_off.push((task, until));
}

/// How long to sleep. The operator's clock may be set meanwhile, so it is looked at now and then.
fn until(time: Option<u64>, now: u64) -> Duration {
    let seconds = time.map_or(u64::MAX, |time| time.saturating_sub(now));
    Duration::from_secs(seconds).min(LOOK_MAX)
}

/// What is heard of a walk before it says something.
fn nothing_yet(job: Job) -> Reply {
    Reply::Progress(tally::progress(job.task(), &Pass::default(), None))
}

/// When a walk that failed is tried again.
const RETRY: Duration = Duration::from_secs(60 * 60);

/// How often it is looked at whether an operator still waits for a walk.
const LOOK_MIN: Duration = Duration::from_secs(1);

/// How long the schedule is believed.
const LOOK_MAX: Duration = Duration::from_secs(60 * 60);

/// A check of a share keeps its buffers on the heap.
const STACK_SIZE: usize = 512 << 10;
