//! The sidecars' handlers at work: futures that are polled in the order of their numbers.
//!
//! Tokio wakes those who wait for one thing in an order of its own, which differs from run to run. So
//! who was woken is only noted here, and polled in a fixed order.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use tokio::task::coop::unconstrained;

/// A future that answers.
pub type Work<A> = Pin<Box<dyn Future<Output = A>>>;

/// Futures, each on behalf of an owner.
pub struct Tasks<A> {
    tasks: BTreeMap<u64, Task<A>>,
    woken: Arc<Woken>,
    next: u64,
}

struct Task<A> {
    owner: usize,
    work: Work<A>,
    waker: Waker,
}

/// Who was woken, and who is to be told of it.
#[derive(Default)]
struct Woken(Mutex<(Vec<u64>, Option<Waker>)>);

struct TaskWaker {
    task: u64,
    woken: Arc<Woken>,
}

impl<A> Default for Tasks<A> {
    fn default() -> Self {
        Self { tasks: BTreeMap::new(), woken: Arc::default(), next: 0 }
    }
}

impl<A> fmt::Debug for Tasks<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl<A> Tasks<A> {
    /// Begins a task, and answers its number.
    pub fn spawn(&mut self, owner: usize, work: Work<A>) -> u64 {
        self.next += 1;
        let waker = Waker::from(Arc::new(TaskWaker { task: self.next, woken: Arc::clone(&self.woken) }));
        self.tasks.insert(self.next, Task { owner, work, waker });
        self.woken.lock().0.push(self.next);
        self.next
    }

    /// Drops all tasks of an owner, and answers their numbers.
    pub fn kill(&mut self, owner: usize) -> Vec<u64> {
        let killed: Vec<u64> =
            self.tasks.iter().filter(|(_, task)| task.owner == owner).map(|(task, _)| *task).collect();
        for task in &killed {
            self.tasks.remove(task);
        }
        killed
    }

    /// Lets everybody go on who can, but for the owners that stand still: they stay woken. Answers who is
    /// done.
    pub fn run(&mut self, stands_still: impl Fn(usize) -> bool) -> Vec<(u64, A)> {
        let mut done = Vec::new();
        let mut kept = Vec::new();
        loop {
            let mut woken = std::mem::take(&mut self.woken.lock().0);
            if woken.is_empty() {
                break;
            }
            woken.sort_unstable();
            woken.dedup();
            for number in woken {
                let Some(task) = self.tasks.get_mut(&number) else { continue };
                if stands_still(task.owner) {
                    kept.push(number);
                    continue;
                }
                let work = unconstrained(task.work.as_mut());
                if let Poll::Ready(answer) = std::pin::pin!(work).poll(&mut Context::from_waker(&task.waker)) {
                    self.tasks.remove(&number);
                    done.push((number, answer));
                }
            }
        }
        // Whoever stands still is looked at again when something else happens.
        self.woken.lock().0 = kept;
        done
    }

    /// Whether somebody was woken since; else `waker` is told when somebody is.
    pub fn poll_woken(&self, waker: &Waker, stands_still: impl Fn(usize) -> bool) -> bool {
        let mut woken = self.woken.lock();
        woken.1 = Some(waker.clone());
        woken.0.iter().any(|number| self.tasks.get(number).is_some_and(|task| !stands_still(task.owner)))
    }
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, (Vec<u64>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let told = {
            let mut woken = self.woken.lock();
            woken.0.push(self.task);
            woken.1.take()
        };
        if let Some(waker) = told {
            waker.wake();
        }
    }
}
