//! Choosing schedules, counting them, and telling which one failed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// By what the next thread is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Every runnable thread is as likely.
    Random,
    /// The one of the highest priority runs; a few times, at random steps, the running one becomes the last.
    Priority,
}

/// No schedule of a scenario that ends is as long.
const LONGEST: usize = 50_000;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
    static VIOLATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes that the schedule which runs now breaks a rule. The schedule goes on to its end; the first violation counts.
pub(crate) fn violate(what: impl Into<String>) {
    VIOLATION.with_borrow_mut(|violation| {
        violation.get_or_insert_with(|| what.into());
    });
}

/// A choice of the scenario that belongs to the schedule: a number below `limit`.
pub(crate) fn choose(limit: u64) -> u64 {
    let number = DRAWN.get() + 1;
    DRAWN.set(number);
    mix(SEED.get() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % limit
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A schedule that broke a rule.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) order: Order,
    pub(crate) seed: u64,
}

/// What was explored.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) schedules: usize,
    pub(crate) distinct: HashSet<u64>,
    /// How often there was more than one thread to choose from.
    pub(crate) choices: u64,
    pub(crate) violation: Option<Violation>,
}

/// Runs `scenario` under up to `limit` schedules of each of `orders`, with seeds from `first` on, until one breaks a rule.
pub(crate) fn explore(scenario: fn(), length: u64, orders: &[Order], first: u64, limit: u64) -> Explored {
    let mut explored = Explored::default();
    for &order in orders {
        run(scenario, Explorer::new(order, length, first, limit), &mut explored);
        if explored.violation.is_some() {
            break;
        }
    }
    explored
}

fn run(scenario: fn(), scheduler: Explorer, explored: &mut Explored) {
    VIOLATION.with_borrow_mut(Option::take);
    let (seen, order, first) = (Arc::clone(&scheduler.seen), scheduler.order, scheduler.next);
    let choices = Arc::clone(&scheduler.all_steps);
    *seen.lock().expect("one thread") = std::mem::take(&mut explored.distinct);
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(LONGEST);
    config.silence_warnings = true;
    let ended = catch_unwind(AssertUnwindSafe(|| Runner::new(scheduler, config).run(scenario)));
    if let Err(panic) = &ended {
        let text = panic.downcast_ref::<String>().cloned();
        violate(text.or(panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or("a panic".to_owned()));
    }
    let seed = SEED.get();
    explored.schedules += (seed - first) as usize + 1;
    explored.choices += choices.load(Ordering::Relaxed);
    explored.distinct = std::mem::take(&mut seen.lock().expect("one thread"));
    explored.violation = VIOLATION.with_borrow_mut(Option::take).map(|what| Violation { what, order, seed });
}

/// A scheduler whose every schedule follows from one seed.
struct Explorer {
    order: Order,
    length: u64,
    next: u64,
    end: u64,
    all_steps: Arc<AtomicU64>,
    seen: Arc<Mutex<HashSet<u64>>>,
    choices: Option<u64>,
    random: u64,
    steps: u64,
    priorities: BTreeMap<usize, u64>,
    changes: Vec<u64>,
    last_place: u64,
}

impl Explorer {
    fn new(order: Order, length: u64, first: u64, limit: u64) -> Self {
        Explorer {
            order,
            length,
            next: first,
            end: first + limit,
            all_steps: Arc::default(),
            seen: Arc::default(),
            choices: None,
            random: 0,
            steps: 0,
            priorities: BTreeMap::new(),
            changes: Vec::new(),
            last_place: 0,
        }
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    /// The place of a thread in the order of priorities: the lower, the later it runs.
    fn priority(&mut self, task: usize) -> u64 {
        if let Some(priority) = self.priorities.get(&task) {
            return *priority;
        }
        let priority = (1 << 32) + (self.draw() >> 32);
        self.priorities.insert(task, priority);
        priority
    }

    fn demote(&mut self, task: usize) {
        self.last_place -= 1;
        self.priorities.insert(task, self.last_place);
    }

    fn by_priority(&mut self, runnable: &[usize], current: Option<usize>, is_yielding: bool) -> usize {
        if let Some(current) = current
            && (is_yielding || self.changes.contains(&self.steps))
        {
            self.demote(current);
        }
        let mut best = (runnable[0], 0);
        for task in runnable {
            let priority = self.priority(*task);
            if priority > best.1 {
                best = (*task, priority);
            }
        }
        best.0
    }
}

impl Scheduler for Explorer {
    fn new_execution(&mut self) -> Option<Schedule> {
        if let Some(choices) = self.choices.take() {
            self.seen.lock().expect("one thread").insert(choices);
            self.all_steps.fetch_add(self.steps, Ordering::Relaxed);
        }
        if self.next == self.end || VIOLATION.with_borrow(Option::is_some) {
            return None;
        }
        let seed = self.next;
        self.next += 1;
        SEED.set(seed);
        DRAWN.set(0);
        self.random = mix(seed ^ 0x5851_f42d_4c95_7f2d);
        self.steps = 0;
        self.priorities.clear();
        self.last_place = 1 << 32;
        let changes = 1 + self.draw() % 5;
        self.changes = (0..changes).map(|_| self.draw() % self.length).collect();
        self.choices = Some(0xcbf2_9ce4_8422_2325);
        Some(Schedule::new(seed))
    }

    fn next_task(&mut self, tasks: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        // A thread that is parked is woken by who has something for it, never by itself.
        let runnable: Vec<_> = tasks.iter().filter(|task| task.runnable()).map(|task| usize::from(task.id())).collect();
        if runnable.len() == 1 {
            return Some(runnable[0].into());
        }
        let chosen = match self.order {
            Order::Random => {
                let place = self.draw() % runnable.len() as u64;
                runnable[place as usize]
            }
            Order::Priority => self.by_priority(&runnable, current.map(usize::from), is_yielding),
        };
        self.steps += 1;
        self.choices = self.choices.map(|hash| mix(hash ^ (chosen as u64 + 1)));
        Some(chosen.into())
    }

    fn next_u64(&mut self) -> u64 {
        self.draw()
    }
}
