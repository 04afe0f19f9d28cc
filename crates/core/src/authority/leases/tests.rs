use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::random::{SeededRandom, uuid};
use crate::rate::{Handed, Used, nanos};

const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// Keeps limits in memory, by a clock of its own.
struct Memory {
    clock: Arc<ManualClock>,
    hands_out_ahead: bool,
    used: Mutex<HashMap<KeyId, Used>>,
    is_away: AtomicBool,
    panics: AtomicBool,
    /// How long its answers take.
    latency_millis: AtomicI64,
    questions: AtomicUsize,
}

impl Memory {
    fn hand_out(&self, asks: &[Ask]) -> Vec<Handed> {
        let now = nanos(self.clock.now());
        let mut used = lock(&self.used);
        let handed = asks.iter().map(|ask| {
            let used = used
                .entry(ask.lineage)
                .or_insert(Used::nothing_of(ask.limit));
            used.hand_out(ask.limit, ask.returned, ask.wanted, now)
        });
        handed.collect()
    }
}

#[async_trait]
impl LimitKeeper for Memory {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Handed>, KeeperGone> {
        if asks != [probe()] {
            self.questions.fetch_add(1, Ordering::Relaxed);
        }
        assert!(!self.panics.load(Ordering::Relaxed), "as it was told");
        // Others have their turn.
        tokio::task::yield_now().await;
        if self.is_away.load(Ordering::Relaxed) {
            return Err(KeeperGone("away".to_owned()));
        }
        let handed = self.hand_out(asks);
        tokio::task::yield_now().await;
        let latency = self.latency_millis.load(Ordering::Relaxed);
        self.clock.advance_millis(latency);
        Ok(handed)
    }

    fn hands_out_ahead(&self) -> bool {
        self.hands_out_ahead
    }
}

/// A clock that is ahead of another, or behind it.
#[derive(Debug)]
struct Skewed(Arc<ManualClock>, i64);

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.0.now().plus_millis(self.1)
    }
}

/// A clock of which no two readings are the same.
#[derive(Debug)]
struct Ticking(Arc<ManualClock>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.advance_millis(1);
        self.0.now()
    }
}

/// Processes that share a keeper, and the key that they are asked with.
struct Site {
    clock: Arc<ManualClock>,
    keeper: Arc<Memory>,
    nodes: Vec<Leases>,
    lineage: KeyId,
}

impl Site {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, true, WhenUnavailable::Open)
    }

    fn with(nodes: usize, hands_out_ahead: bool, when: WhenUnavailable) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let keeper = Arc::new(Memory {
            clock: clock.clone(),
            hands_out_ahead,
            used: Mutex::default(),
            is_away: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            latency_millis: AtomicI64::new(0),
            questions: AtomicUsize::new(0),
        });
        // No two clocks agree.
        let skewed = |number: usize| {
            let ahead = i64::try_from(number).unwrap() * 30_000;
            let clock = Arc::new(Skewed(clock.clone(), ahead));
            Leases::new(clock, keeper.clone() as Arc<dyn LimitKeeper>, when)
        };
        Self {
            nodes: (0..nodes).map(skewed).collect(),
            clock,
            keeper,
            lineage: KeyId(uuid(&SeededRandom::new(1), START)),
        }
    }

    async fn ask(&self, node: usize, limit: RateLimit) -> Outcome {
        self.nodes[node].charge(self.lineage, limit).await.unwrap()
    }

    async fn passed(&self, node: usize, limit: RateLimit, asked: usize) -> usize {
        let mut passed = 0;
        for _ in 0..asked {
            passed += usize::from(self.ask(node, limit).await.is_ok());
        }
        passed
    }

    /// Lets time pass, as a server's upkeep does.
    async fn wait_millis(&self, millis: i64) {
        others_go_on().await;
        for _ in 0..millis / 500 {
            self.clock.advance_millis(500);
            for node in &self.nodes {
                node.tend().await;
            }
            others_go_on().await;
        }
        self.clock.advance_millis(millis % 500);
    }

    fn questions(&self) -> usize {
        self.keeper.questions.load(Ordering::Relaxed)
    }
}

fn limit(requests: u32, window_seconds: u32) -> RateLimit {
    RateLimit::new(requests, window_seconds).unwrap()
}

/// What was asked ahead is answered.
async fn others_go_on() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn run_here<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

#[tokio::test]
async fn one_process_alone_gets_the_whole_limit_and_no_more() {
    let site = Site::new(3);
    assert_eq!(site.passed(1, limit(30, 3_600), 60).await, 30);
    assert_eq!(site.passed(0, limit(30, 3_600), 5).await, 0);
}

#[tokio::test]
async fn processes_in_turn_get_the_limit_together_and_no_more() {
    let site = Site::new(3);
    let mut passed = 0;
    for turn in 0..90 {
        passed += site.passed(turn % 3, limit(30, 3_600), 1).await;
    }
    assert_eq!(passed, 30);
}

#[tokio::test]
async fn a_busy_key_seldom_waits() {
    let site = Site::new(1);
    for _ in 0..10 {
        site.passed(0, limit(100_000, 60), 1_000).await;
        site.wait_millis(500).await;
    }
    assert!(site.questions() < 100, "{}", site.questions());
}

#[tokio::test]
async fn a_refusal_is_repeated_without_a_question_for_a_while() {
    let site = Site::new(2);
    site.passed(0, limit(10, 3_600), 11).await;
    let questions = site.questions();
    for _ in 0..100 {
        let wait = site.ask(0, limit(10, 3_600)).await.unwrap_err();
        assert_eq!(wait, Duration::from_mins(6));
    }
    assert_eq!(site.questions(), questions);
    site.wait_millis(1_000).await;
    site.ask(0, limit(10, 3_600)).await.unwrap_err();
    assert_eq!(site.questions(), questions + 1);
    site.wait_millis(359_000).await;
    assert!(site.ask(0, limit(10, 3_600)).await.is_ok());
}

#[tokio::test]
async fn what_is_held_and_not_needed_goes_back_and_can_be_had_elsewhere() {
    let site = Site::new(2);
    let hour = limit(100, 3_600);
    assert_eq!(site.passed(0, hour, 10).await, 10);
    assert!(site.passed(1, hour, 100).await < 90, "some is held");
    site.wait_millis(3_000).await;
    let passed = site.passed(1, hour, 100).await;
    assert!(passed > 0);
    site.nodes[0].end().await;
    site.wait_millis(1_000).await;
    assert_eq!(site.ask(1, hour).await.unwrap_err().as_secs(), 32);
}

#[tokio::test]
async fn a_key_whose_limit_is_changed_keeps_its_share_at_every_process() {
    let site = Site::new(2);
    assert_eq!(site.passed(0, limit(100, 3_600), 50).await, 50);
    site.wait_millis(3_000).await;
    let left = site.ask(1, limit(10, 60)).await.unwrap().remaining;
    assert!((4..=5).contains(&left), "{left}");
    assert!((4..=5).contains(&site.passed(0, limit(10, 60), 20).await));
}

#[tokio::test]
async fn a_keeper_that_is_gone_leaves_each_process_to_itself_and_is_asked_again_when_it_is_back() {
    let site = Site::new(2);
    let hour = limit(10, 3_600);
    site.keeper.is_away.store(true, Ordering::Relaxed);
    for node in 0..2 {
        assert_eq!(site.passed(node, hour, 20).await, 10);
        let health = site.nodes[node].health();
        assert_eq!((health.answers, health.failures), (false, 1));
    }
    assert_eq!(site.questions(), 2, "nobody waits for it again");
    site.keeper.is_away.store(false, Ordering::Relaxed);
    site.wait_millis(500).await;
    assert!(site.nodes[0].health().answers);
    for node in 0..2 {
        assert_eq!(site.passed(node, hour, 20).await, 0, "all of it was used");
    }
}

#[tokio::test]
async fn a_keeper_that_is_gone_again_and_again_leaves_each_process_its_limit_once() {
    let site = Site::new(3);
    let hour = limit(100, 36_000);
    let mut passed = 0;
    for outage in 0..9 {
        site.keeper.is_away.store(true, Ordering::Relaxed);
        passed += site.passed(outage % 3, hour, 30).await;
        site.keeper.is_away.store(false, Ordering::Relaxed);
        site.wait_millis(500).await;
        passed += site.passed((outage + 1) % 3, hour, 5).await;
    }
    for node in 0..3 {
        passed += site.passed(node, hour, 100).await;
    }
    assert_eq!(passed, 100, "what was spent alone was told each time");
}

#[tokio::test]
async fn what_was_spent_alone_is_told_once_though_requests_come_just_then() {
    for moment in 0..12 {
        let site = Site::new(1);
        let hour = limit(30, 3_600);
        site.keeper.is_away.store(true, Ordering::Relaxed);
        assert_eq!(site.passed(0, hour, 10).await, 10);
        site.keeper.is_away.store(false, Ordering::Relaxed);
        let request = async {
            for _ in 0..moment {
                tokio::task::yield_now().await;
            }
            site.ask(0, hour).await
        };
        let ((), passed) = tokio::join!(site.nodes[0].tend(), request);
        assert!(passed.is_ok());
        site.wait_millis(1_000).await;
        assert_eq!(site.passed(0, hour, 40).await, 19, "{moment}");
    }
}

#[tokio::test]
async fn nobody_is_refused_while_something_is_held_for_the_same_key() {
    for requests in [20, 70, 333] {
        let site = Site::new(1);
        let asked = (0..3 * requests).map(|number| {
            let site = &site;
            async move {
                for _ in 0..number % 13 {
                    tokio::task::yield_now().await;
                }
                site.ask(0, limit(requests, 36_000)).await
            }
        });
        let outcomes = all_at_once(asked.collect()).await;
        let passed = outcomes.into_iter().flatten().count();
        assert_eq!(passed, requests as usize);
    }
}

#[tokio::test]
async fn a_look_while_an_answer_is_on_its_way_does_not_keep_what_it_brings_from_melting() {
    let site = Site::new(2);
    let fast = limit(80, 1);
    site.passed(0, fast, 30).await;
    site.wait_millis(2_000).await;
    site.passed(0, fast, 20).await;
    site.wait_millis(500).await;
    site.keeper.latency_millis.store(100, Ordering::Relaxed);
    let look = async {
        others_go_on().await;
        let _ = site.nodes[0].spend(site.lineage, fast);
    };
    let (first, ()) = tokio::join!(site.ask(0, fast), look);
    site.keeper.latency_millis.store(0, Ordering::Relaxed);
    assert!(first.is_ok());
    let both = site.passed(0, fast, 100).await + site.passed(1, fast, 100).await;
    assert!(both <= 80, "{both}");
}

#[tokio::test]
async fn what_was_spent_alone_and_has_come_back_meanwhile_is_not_charged_again() {
    let site = Site::new(1);
    let minute = limit(60, 60);
    site.keeper.is_away.store(true, Ordering::Relaxed);
    assert_eq!(site.passed(0, minute, 40).await, 40);
    site.clock.advance_millis(30_000);
    site.keeper.is_away.store(false, Ordering::Relaxed);
    site.wait_millis(500).await;
    assert_eq!(site.passed(0, minute, 60).await, 50);
}

#[tokio::test]
async fn who_keeps_limits_is_looked_for_at_the_start_and_after_a_silence() {
    let site = Site::new(1);
    site.keeper.is_away.store(true, Ordering::Relaxed);
    site.wait_millis(500).await;
    assert!(
        !site.nodes[0].health().answers,
        "nobody has asked for anything"
    );
    site.keeper.is_away.store(false, Ordering::Relaxed);
    site.wait_millis(500).await;
    assert!(site.nodes[0].health().answers);
    site.keeper.is_away.store(true, Ordering::Relaxed);
    site.wait_millis(4_500).await;
    assert!(site.nodes[0].health().answers);
    site.wait_millis(1_000).await;
    assert!(!site.nodes[0].health().answers);
}

#[tokio::test]
async fn a_question_that_panics_is_a_keeper_that_is_gone() {
    for (when, passes) in [
        (WhenUnavailable::Open, true),
        (WhenUnavailable::Closed, false),
    ] {
        let site = Site::with(1, true, when);
        let hour = limit(10, 3_600);
        site.keeper.panics.store(true, Ordering::Relaxed);
        let charged = site.nodes[0].charge(site.lineage, hour).await;
        assert_eq!(charged.is_ok_and(|outcome| outcome.is_ok()), passes);
        site.keeper.panics.store(false, Ordering::Relaxed);
        site.wait_millis(500).await;
        assert!(site.ask(0, hour).await.is_ok());
    }
}

#[tokio::test]
async fn who_waited_gets_what_was_handed_out_however_the_clock_goes_on_meanwhile() {
    for hands_out_ahead in [true, false] {
        let mut site = Site::with(1, hands_out_ahead, WhenUnavailable::Open);
        let clock = Arc::new(Ticking(site.clock.clone()));
        let keeper = site.keeper.clone() as Arc<dyn LimitKeeper>;
        site.nodes[0] = Leases::new(clock, keeper, WhenUnavailable::Open);
        for number in 0..50 {
            site.lineage = KeyId(uuid(&SeededRandom::new(number), START));
            assert!(site.ask(0, limit(1, 3_600)).await.is_ok());
            assert!(site.ask(0, limit(1, 3_600)).await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_on_many_threads_as_many_pass_as_there_are_and_no_fewer() {
    for hands_out_ahead in [true, false] {
        let site = Arc::new(Site::with(1, hands_out_ahead, WhenUnavailable::Open));
        let tasks = (0..40).map(|_| {
            let site = Arc::clone(&site);
            tokio::spawn(async move { site.passed(0, limit(400, 3_600), 9).await })
        });
        let mut passed = 0;
        for task in tasks.collect::<Vec<_>>() {
            passed += task.await.unwrap();
        }
        assert_eq!(passed, 360, "{hands_out_ahead}");
        assert_eq!(site.passed(0, limit(400, 3_600), 60).await, 40);
    }
}

#[tokio::test]
async fn a_keeper_that_is_gone_stops_everybody_if_that_is_wanted_once_nothing_is_held() {
    let site = Site::with(1, true, WhenUnavailable::Closed);
    let hour = limit(1_000, 3_600);
    site.passed(0, hour, 20).await;
    site.keeper.is_away.store(true, Ordering::Relaxed);
    let mut held = 0;
    let refused = loop {
        match site.nodes[0].charge(site.lineage, hour).await {
            Ok(outcome) => held += usize::from(outcome.is_ok()),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Error::LimitsUnavailable));
    assert!((1..50).contains(&held), "{held}");
    site.keeper.is_away.store(false, Ordering::Relaxed);
    site.wait_millis(500).await;
    assert!(site.ask(0, hour).await.is_ok());
}

#[tokio::test]
async fn a_keeper_that_counts_each_request_is_asked_for_each() {
    let site = Site::with(2, false, WhenUnavailable::Open);
    for turn in 0..20 {
        assert!(site.ask(turn % 2, limit(20, 3_600)).await.is_ok());
    }
    assert_eq!(site.questions(), 20);
    for node in 0..2 {
        assert_eq!(site.passed(node, limit(20, 3_600), 3).await, 0);
    }
}

#[tokio::test]
async fn requests_at_once_share_questions_and_are_no_more_than_in_a_row() {
    let site = Site::with(1, false, WhenUnavailable::Open);
    let asked = (0..200).map(|_| site.ask(0, limit(70, 3_600)));
    let asked: Vec<_> = asked.collect();
    let mut passed = 0;
    for outcome in all_at_once(asked).await {
        passed += usize::from(outcome.is_ok());
    }
    assert_eq!(passed, 70);
    assert!(site.questions() < 5, "{}", site.questions());
}

/// All of them at once.
async fn all_at_once<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(outcome) = future.as_mut().poll(context)
            {
                *done = Some(outcome);
            }
        }
        if done.iter().any(Option::is_none) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn what_is_whole_again_is_forgotten() {
    let site = Site::new(1);
    site.passed(0, limit(2, 60), 2).await;
    site.wait_millis(59_500).await;
    site.nodes[0].forget_unused().await;
    assert!(!site.nodes[0].desk.shard(site.lineage).is_empty());
    site.wait_millis(500).await;
    site.nodes[0].forget_unused().await;
    assert!(site.nodes[0].desk.shard(site.lineage).is_empty());
}

/// What happens to one of several processes.
#[derive(Clone, Debug)]
enum Step {
    Requests(usize, usize),
    Pause(i64),
    Upkeep(usize),
    Killed(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0_usize..3;
    let step = prop_oneof![
        6 => (node.clone(), 1_usize..40).prop_map(|(node, count)| Step::Requests(node, count)),
        4 => prop_oneof![0_i64..20, 0_i64..700, 0_i64..5_000].prop_map(Step::Pause),
        2 => node.clone().prop_map(Step::Upkeep),
        1 => node.prop_map(Step::Killed),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_all_processes_together_get_no_more_through_than_one_would(
        requests in prop_oneof![1_u32..10, 1_u32..2_000],
        window in prop_oneof![1_u32..4, Just(60), Just(3_600)],
        hands_out_ahead in any::<bool>(),
        latency in prop_oneof![2 => Just(0_i64), 1 => 0_i64..300],
        steps in steps(),
    ) {
        run_here(async {
            let mut site = Site::with(3, hands_out_ahead, WhenUnavailable::Open);
            site.keeper.latency_millis.store(latency, Ordering::Relaxed);
            let limit = limit(requests, window);
            let mut used = Used::nothing_of(limit);
            for step in steps {
                match step {
                    Step::Requests(node, count) => {
                        for together in [1, 3].into_iter().cycle().take(count) {
                            let asked = (0..together).map(|_| site.ask(node, limit));
                            for outcome in all_at_once(asked.collect()).await {
                                if outcome.is_err() {
                                    continue;
                                }
                                let now = nanos(site.clock.now());
                                prop_assert_eq!(used.hand_out(limit, 0, 1, now).requests, 1);
                            }
                            // Others have their turn.
                            tokio::task::yield_now().await;
                        }
                    }
                    Step::Pause(millis) => {
                        site.clock.advance_millis(millis);
                    }
                    Step::Upkeep(node) => site.nodes[node].tend().await,
                    Step::Killed(node) => {
                        let clock = Arc::clone(&site.nodes[node].desk.clock);
                        let keeper = Arc::clone(&site.keeper) as Arc<dyn LimitKeeper>;
                        site.nodes[node] = Leases::new(clock, keeper, WhenUnavailable::Open);
                    }
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn after_a_pause_there_is_all_that_nobody_used(
        requests in 1_u32..1_000,
        turns in prop::collection::vec((0_usize..3, 1_usize..100, 0_i64..1_500), 1..30),
    ) {
        run_here(async {
            let site = Site::new(3);
            // Nothing comes back meanwhile, nor melts.
            let limit = limit(requests, 2_592_000);
            let mut used = Used::nothing_of(limit);
            for (node, count, pause) in turns {
                let passed = site.passed(node, limit, count).await;
                let passed = u32::try_from(passed).unwrap();
                used.hand_out(limit, 0, passed, nanos(site.clock.now()));
                site.wait_millis(pause).await;
            }
            site.wait_millis(5_000).await;
            let left = used.hand_out(limit, 0, u32::MAX, nanos(site.clock.now())).requests;
            let passed = site.passed(2, limit, requests as usize + 1).await;
            prop_assert_eq!(u32::try_from(passed).unwrap(), left);
            Ok(())
        })?;
    }
}
