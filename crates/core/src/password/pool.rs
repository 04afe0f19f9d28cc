//! Threads for work that takes long: so many and no more, at a low priority, with two bounded queues
//! in front of them.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// How many of the known go before a stranger.
const KNOWN_BEFORE_A_STRANGER: u32 = 8;

/// Where to wait. What waits among the known is done before what waits among the strangers, eight for
/// one, so that neither a flood of strangers nor one of the known keeps the others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// For an address from which this user has logged in before.
    Known,
    /// For every other.
    Stranger,
}

/// Something for a thread of the pool to do.
pub(super) trait Work: Send + 'static {
    /// What a thread keeps at hand from one piece of work to the next.
    type Desk: 'static;

    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;

    /// Does it.
    fn carry_out(self, desk: &mut Self::Desk);
}

/// The queue has no more room.
#[derive(Debug)]
pub(super) struct Full;

/// The threads; they end when it is dropped.
pub(super) struct Pool<W: Work>(Arc<Shared<W>>);

struct Shared<W> {
    queues: Mutex<Queues<W>>,
    changed: Condvar,
    /// How many may wait in each queue.
    room: usize,
}

struct Queues<W> {
    known: VecDeque<W>,
    strangers: VecDeque<W>,
    /// How many of the known went before a stranger who waits.
    gone_before: u32,
    is_closed: bool,
}

impl<W: Work> Pool<W> {
    /// Starts so many threads; each makes itself a desk.
    pub(super) fn start(
        threads: usize,
        room: usize,
        desk: impl Fn() -> W::Desk + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let queues = Queues {
            known: VecDeque::new(),
            strangers: VecDeque::new(),
            gone_before: 0,
            is_closed: false,
        };
        let pool = Self(Arc::new(Shared {
            queues: Mutex::new(queues),
            changed: Condvar::new(),
            room,
        }));
        for _ in 0..threads {
            let shared = Arc::clone(&pool.0);
            let desk = desk.clone();
            Builder::new()
                .name("password".to_owned())
                .spawn(move || serve(&shared, &desk))?;
        }
        Ok(pool)
    }

    /// Whether work would be turned away now.
    pub(super) fn is_full(&self, lane: Lane) -> bool {
        let mut queues = self.0.lock();
        let queue = queues.of(lane);
        queue.len() >= self.0.room && queue.iter().all(|waiting| !waiting.is_abandoned())
    }

    /// Puts work into a queue.
    pub(super) fn submit(&self, lane: Lane, work: W) -> Result<(), Full> {
        let mut queues = self.0.lock();
        let queue = queues.of(lane);
        if queue.len() >= self.0.room {
            // Whoever has left does not need a place.
            queue.retain(|waiting| !waiting.is_abandoned());
        }
        if queue.len() >= self.0.room {
            return Err(Full);
        }
        queue.push_back(work);
        drop(queues);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<W: Work> Drop for Pool<W> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl<W: Work> fmt::Debug for Pool<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl<W: Work> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Queues<W>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece of work, once there is one; nothing once the pool is gone.
    fn next(&self) -> Option<W> {
        let mut queues = self.lock();
        while !queues.is_closed {
            if let Some(work) = queues.next() {
                return Some(work);
            }
            queues = self
                .changed
                .wait(queues)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }
}

impl<W: Work> Queues<W> {
    /// Of the known first; but some known users must not keep out all strangers for ever.
    fn pop(&mut self) -> Option<W> {
        let is_strangers_turn = self.gone_before >= KNOWN_BEFORE_A_STRANGER;
        if !self.strangers.is_empty() && (self.known.is_empty() || is_strangers_turn) {
            self.gone_before = 0;
            return self.strangers.pop_front();
        }
        self.gone_before = self.gone_before.saturating_add(1);
        self.known.pop_front()
    }

    const fn of(&mut self, lane: Lane) -> &mut VecDeque<W> {
        match lane {
            Lane::Known => &mut self.known,
            Lane::Stranger => &mut self.strangers,
        }
    }

    fn next(&mut self) -> Option<W> {
        while let Some(work) = self.pop() {
            if !work.is_abandoned() {
                return Some(work);
            }
        }
        None
    }
}

/// What one thread does.
fn serve<W: Work>(shared: &Shared<W>, desk: impl Fn() -> W::Desk) {
    step_back();
    let mut at_hand = desk();
    while let Some(work) = shared.next() {
        // The thread outlives a defect in one piece of work; its desk may not be fit for another.
        if catch_unwind(AssertUnwindSafe(|| work.carry_out(&mut at_hand))).is_err() {
            at_hand = desk();
        }
    }
}

/// Lets every other thread go first, yet not so far that a busy machine never hashes: at 10 a thread
/// gets a tenth of what one of the server's own gets. That the system refuses is no reason not to hash.
fn step_back() {
    // Elsewhere a priority is the whole process's: POSIX knows none of a thread. Linux gives the
    // calling thread its own (setpriority(2), "C library/kernel differences").
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Work that says when it begins, and ends when it is told to.
    struct Step {
        name: &'static str,
        begun: Sender<&'static str>,
        go_on: Option<Receiver<()>>,
        is_abandoned: Arc<AtomicUsize>,
    }

    impl Work for Step {
        type Desk = ();

        fn is_abandoned(&self) -> bool {
            self.is_abandoned.load(Ordering::SeqCst) == 1
        }

        fn carry_out(self, (): &mut ()) {
            self.begun.send(self.name).unwrap();
            if let Some(go_on) = self.go_on {
                go_on.recv().unwrap();
            }
            assert_ne!(self.name, "defective");
        }
    }

    /// A pool, and where its work says that it begins.
    struct Scene {
        pool: Pool<Step>,
        begun: Sender<&'static str>,
        begins: Receiver<&'static str>,
    }

    impl Scene {
        fn new(threads: usize, room: usize) -> Self {
            let (begun, begins) = channel();
            Self {
                pool: Pool::start(threads, room, || ()).unwrap(),
                begun,
                begins,
            }
        }

        fn step(&self, name: &'static str) -> Step {
            Step {
                name,
                begun: self.begun.clone(),
                go_on: None,
                is_abandoned: Arc::default(),
            }
        }

        /// Keeps a thread at work until something is sent.
        fn occupy(&self) -> Sender<()> {
            let (go_on, waits) = channel();
            let step = Step {
                go_on: Some(waits),
                ..self.step("occupied")
            };
            self.pool.submit(Lane::Stranger, step).unwrap();
            assert_eq!(self.begins.recv(), Ok("occupied"));
            go_on
        }
    }

    #[test]
    fn the_known_go_before_the_strangers_and_each_in_turn() {
        let scene = Scene::new(1, 10);
        let go_on = scene.occupy();
        for (lane, name) in [
            (Lane::Stranger, "stranger 1"),
            (Lane::Stranger, "stranger 2"),
            (Lane::Known, "known 1"),
            (Lane::Known, "known 2"),
        ] {
            scene.pool.submit(lane, scene.step(name)).unwrap();
        }
        go_on.send(()).unwrap();
        let order: Vec<_> = scene.begins.iter().take(4).collect();
        assert_eq!(order, ["known 1", "known 2", "stranger 1", "stranger 2"]);
    }

    #[test]
    fn the_known_do_not_keep_strangers_waiting_for_ever() {
        let scene = Scene::new(1, 100);
        let go_on = scene.occupy();
        scene
            .pool
            .submit(Lane::Stranger, scene.step("stranger"))
            .unwrap();
        for _ in 0..20 {
            scene.pool.submit(Lane::Known, scene.step("known")).unwrap();
        }
        go_on.send(()).unwrap();
        let order: Vec<_> = scene.begins.iter().take(21).collect();
        let place = order.iter().position(|name| *name == "stranger");
        assert!(
            place.is_some_and(|place| (7..=8).contains(&place)),
            "{place:?}"
        );
    }

    #[test]
    fn no_more_work_is_in_hand_than_there_are_threads() {
        let scene = Scene::new(3, 10);
        let mut occupied: Vec<_> = (0..3).map(|_| scene.occupy()).collect();
        scene.pool.submit(Lane::Known, scene.step("next")).unwrap();
        // All threads are at work: the next waits, and is the first thing done once one is free.
        assert!(scene.begins.try_recv().is_err());
        assert_eq!(scene.pool.0.lock().known.len(), 1);
        occupied.pop().unwrap().send(()).unwrap();
        assert_eq!(scene.begins.recv(), Ok("next"));
        for go_on in occupied {
            go_on.send(()).unwrap();
        }
    }

    #[test]
    fn a_crowd_is_never_served_by_more_threads_than_there_are() {
        #[derive(Default)]
        struct Count {
            now: AtomicUsize,
            most: AtomicUsize,
        }
        struct Counted(Arc<Count>, Sender<()>);
        impl Work for Counted {
            type Desk = ();

            fn is_abandoned(&self) -> bool {
                false
            }

            fn carry_out(self, (): &mut ()) {
                let now = self.0.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.0.most.fetch_max(now, Ordering::SeqCst);
                std::thread::yield_now();
                self.0.now.fetch_sub(1, Ordering::SeqCst);
                self.1.send(()).unwrap();
            }
        }
        let pool = Pool::start(2, 1000, || ()).unwrap();
        let count = Arc::new(Count::default());
        let (done, all) = channel();
        for _ in 0..1000 {
            let work = Counted(Arc::clone(&count), done.clone());
            pool.submit(Lane::Stranger, work).unwrap();
        }
        assert_eq!(all.iter().take(1000).count(), 1000);
        assert!(count.most.load(Ordering::SeqCst) <= 2);
    }

    #[test]
    fn work_that_nobody_waits_for_is_not_done_and_takes_no_room() {
        let scene = Scene::new(1, 2);
        let go_on = scene.occupy();
        let left: Vec<_> = ["left 1", "left 2"].map(|name| scene.step(name)).into();
        let flags: Vec<_> = left.iter().map(|s| Arc::clone(&s.is_abandoned)).collect();
        for step in left {
            scene.pool.submit(Lane::Stranger, step).unwrap();
        }
        assert!(
            scene
                .pool
                .submit(Lane::Stranger, scene.step("late"))
                .is_err()
        );
        flags[0].store(1, Ordering::SeqCst);
        scene
            .pool
            .submit(Lane::Stranger, scene.step("stays"))
            .unwrap();
        flags[1].store(1, Ordering::SeqCst);
        go_on.send(()).unwrap();
        assert_eq!(scene.begins.recv(), Ok("stays"));
    }

    #[test]
    fn a_full_queue_of_strangers_leaves_room_for_the_known() {
        let scene = Scene::new(1, 1);
        let go_on = scene.occupy();
        let submit = |lane| scene.pool.submit(lane, scene.step("waits"));
        assert!(submit(Lane::Stranger).is_ok());
        assert!(submit(Lane::Stranger).is_err());
        assert!(submit(Lane::Known).is_ok());
        assert!(submit(Lane::Known).is_err());
        go_on.send(()).unwrap();
    }

    #[test]
    fn a_defect_in_one_piece_of_work_does_not_end_the_thread() {
        let scene = Scene::new(1, 10);
        for name in ["defective", "next"] {
            scene.pool.submit(Lane::Known, scene.step(name)).unwrap();
            assert_eq!(scene.begins.recv(), Ok(name));
        }
    }

    #[test]
    fn the_threads_end_with_the_pool() {
        let scene = Scene::new(4, 10);
        let shared = Arc::downgrade(&scene.pool.0);
        drop(scene);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn other_threads_go_first() {
        struct Priority(Sender<i32>);
        impl Work for Priority {
            type Desk = ();

            fn is_abandoned(&self) -> bool {
                false
            }

            fn carry_out(self, (): &mut ()) {
                let priority = rustix::process::getpriority_process(None);
                self.0.send(priority.unwrap()).unwrap();
            }
        }
        let before = rustix::process::getpriority_process(None).unwrap();
        let pool = Pool::start(1, 1, || ()).unwrap();
        let (tell, told) = channel();
        pool.submit(Lane::Known, Priority(tell)).unwrap();
        assert_eq!(told.recv(), Ok(before + 10));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }
}
