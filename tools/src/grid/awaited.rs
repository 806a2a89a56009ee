//! The answers that are awaited, and which of them are late, by what servers have shown so far.
//!
//! An answer is late in one of two ways. Its server is *silent*: nothing has come from it for much
//! longer than servers took to react. Or its server is *behind*: bytes come, but the whole answer
//! takes much longer than the like answers of its peers. On a slow line everybody is slow, so
//! nobody is late. What follows from being late is the caller's business; the answer still counts.
//!
//! No clock here: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Patience;
use super::samples::Samples;

/// Questions of one kind, asked of several servers, that have no answer yet.
#[derive(Debug)]
pub struct Awaited<Q> {
    /// The least silence that counts.
    silence_min: Duration,
    /// The least time for a server of which nothing is known, and for one that is only behind.
    slow: Duration,
    questions: BTreeMap<Q, Question>,
    /// From a question to the first bytes of its answer.
    reactions: Samples,
    /// From a question to the end of its answer.
    answers: Samples,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    asked: Instant,
    is_in_line: bool,
    /// Set when it was found late: when to give it up.
    give_up_at: Option<Instant>,
}

/// What is known of a server, whatever it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// When the last bytes came from it.
    pub heard: Option<Instant>,
    /// How long it usually takes to react.
    pub usual: Option<Duration>,
}

impl<Q: Copy + Ord> Awaited<Q> {
    /// Questions that a server can answer at once.
    #[must_use]
    pub fn quick(patience: Patience) -> Self {
        Self::new(patience.late, patience.slow)
    }

    /// Questions that may keep a server's disk busy before it says anything.
    #[must_use]
    pub fn weighty(patience: Patience) -> Self {
        Self::new(patience.slow, patience.slow)
    }

    fn new(silence_min: Duration, slow: Duration) -> Self {
        Self {
            silence_min,
            slow,
            questions: BTreeMap::new(),
            reactions: Samples::default(),
            answers: Samples::default(),
        }
    }

    /// A question is asked.
    pub fn ask(&mut self, question: Q, now: Instant) {
        self.insert(question, now, false);
    }

    /// A question is asked of a server that has others to answer first: it is late when the server is
    /// silent, and never behind.
    pub fn ask_in_line(&mut self, question: Q, now: Instant) {
        self.insert(question, now, true);
    }

    fn insert(&mut self, question: Q, now: Instant, is_in_line: bool) {
        let asked = Question {
            asked: now,
            is_in_line,
            give_up_at: None,
        };
        self.questions.insert(question, asked);
    }

    /// The first bytes of an answer came, of a server that had nothing else to do.
    pub fn reacted(&mut self, question: Q, now: Instant) {
        if let Some(known) = self.questions.get(&question) {
            self.reactions.push(now - known.asked);
        }
    }

    /// An answer is whole.
    pub fn answered(&mut self, question: Q, now: Instant) {
        if let Some(known) = self.questions.remove(&question) {
            self.answers.push(now - known.asked);
        }
    }

    /// A question has no answer, or none that matters any more.
    pub fn forget(&mut self, question: Q) {
        self.questions.remove(&question);
    }

    /// A late server has said something: it gets as much time again.
    pub fn forgive(&mut self, which: impl Fn(&Q) -> bool, now: Instant) {
        for (question, known) in &mut self.questions {
            if known.give_up_at.is_some() && which(question) {
                known.asked = now;
                known.give_up_at = None;
            }
        }
    }

    /// Finds the questions that have become late, each once.
    pub fn find_late(&mut self, now: Instant, sight: impl Fn(Q) -> Sight) -> Vec<Q> {
        let late: Vec<_> = self
            .punctual()
            .filter(|(question, known)| self.due(known, sight(*question)) <= now)
            .map(|(question, _)| question)
            .collect();
        for question in &late {
            let known = self.questions.get_mut(question).expect("it was just found");
            let heard = sight(*question).heard;
            let waited = now - heard.map_or(known.asked, |heard| heard.max(known.asked));
            known.give_up_at = Some(now + waited * (GIVE_UP - 1));
        }
        late
    }

    /// When the next question will be late, if nothing comes until then.
    pub fn next_late(&self, sight: impl Fn(Q) -> Sight) -> Option<Instant> {
        self.punctual()
            .map(|(question, known)| self.due(&known, sight(question)))
            .min()
    }

    /// When to give up waiting: only once all that is awaited is late.
    #[must_use]
    pub fn give_up_at(&self) -> Option<Instant> {
        let ends: Option<Vec<_>> = self
            .questions
            .values()
            .map(|known| known.give_up_at)
            .collect();
        ends?.into_iter().max()
    }

    /// Whether this answer is awaited and late.
    #[must_use]
    pub fn is_late(&self, question: Q) -> bool {
        let known = self.questions.get(&question);
        known.is_some_and(|known| known.give_up_at.is_some())
    }

    /// How long this answer has been awaited.
    #[must_use]
    pub fn waited(&self, question: Q, now: Instant) -> Duration {
        let known = self.questions.get(&question);
        known.map_or(Duration::ZERO, |known| now - known.asked)
    }

    /// Whether all that is awaited is late.
    #[must_use]
    pub fn is_all_late(&self) -> bool {
        self.punctual().next().is_none()
    }

    fn punctual(&self) -> impl Iterator<Item = (Q, Question)> {
        self.questions
            .iter()
            .filter(|(_, known)| known.give_up_at.is_none())
            .map(|(question, known)| (*question, *known))
    }

    /// When a question is late unless something comes.
    fn due(&self, question: &Question, sight: Sight) -> Instant {
        let peers = self.reactions.typical();
        let silence = match peers.zip(sight.usual) {
            // It may itself be slow to react, within bounds.
            Some((peers, usual)) => (peers * MARGIN)
                .max((usual * MARGIN).min(self.slow))
                .max(self.silence_min),
            None => (peers.unwrap_or_default() * MARGIN).max(self.slow),
        };
        let heard = sight
            .heard
            .map_or(question.asked, |heard| heard.max(question.asked));
        let silent = heard + silence;
        match self.answers.typical() {
            Some(peers) if !question.is_in_line => {
                silent.min(question.asked + (peers * MARGIN).max(self.slow))
            }
            _ => silent,
        }
    }
}

/// An answer may take so many times what is usual.
const MARGIN: u32 = 2;

/// A late answer may take so many times what made it late, where nobody else can give it.
const GIVE_UP: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        late: ms(500),
        slow: ms(2000),
        stall: ms(10_000),
    };

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Known from before, and silent since the question.
    fn known(usual: u64) -> impl Fn(u8) -> Sight {
        move |_| Sight {
            heard: None,
            usual: Some(ms(usual)),
        }
    }

    fn unknown(_: u8) -> Sight {
        Sight::default()
    }

    /// Ten questions, of which 9 were answered after so long.
    fn nine_of_ten(start: Instant, milliseconds: u64) -> Awaited<u8> {
        let mut awaited = Awaited::quick(PATIENCE);
        for question in 0..10 {
            awaited.ask(question, start);
        }
        for question in 0..9 {
            awaited.reacted(question, start + ms(milliseconds));
            awaited.answered(question, start + ms(milliseconds));
        }
        awaited
    }

    #[test]
    fn a_silent_server_of_fast_peers_is_late_at_the_floor() {
        let start = Instant::now();
        let mut awaited = nine_of_ten(start, 3);
        assert_eq!(awaited.next_late(known(3)), Some(start + ms(500)));
        assert!(awaited.find_late(start + ms(499), known(3)).is_empty());
        assert_eq!(awaited.find_late(start + ms(500), known(3)), [9]);
        assert!(awaited.find_late(start + ms(501), known(3)).is_empty());
        assert!(awaited.is_all_late());
        assert_eq!(awaited.give_up_at(), Some(start + ms(2000)));
    }

    #[test]
    fn on_a_slow_line_nobody_is_late() {
        let start = Instant::now();
        let awaited = nine_of_ten(start, 8000);
        assert_eq!(awaited.next_late(known(10)), Some(start + ms(16_000)));
    }

    // A satellite's server among near ones: slow to react each time, and nothing is wrong with it.
    #[test]
    fn a_server_that_is_always_slow_gets_twice_its_usual_time() {
        let start = Instant::now();
        let awaited = nine_of_ten(start, 3);
        assert_eq!(awaited.next_late(known(700)), Some(start + ms(1400)));
        assert_eq!(awaited.next_late(known(60_000)), Some(start + ms(2000)));
    }

    // Not even connected: its distance is not known.
    #[test]
    fn a_server_of_which_nothing_is_known_gets_more_time() {
        let start = Instant::now();
        let awaited = nine_of_ten(start, 3);
        assert_eq!(awaited.next_late(unknown), Some(start + ms(2000)));
    }

    #[test]
    fn before_anybody_answered_the_line_itself_may_be_slow() {
        let start = Instant::now();
        let mut awaited = Awaited::quick(PATIENCE);
        awaited.ask(0, start);
        assert_eq!(awaited.next_late(known(1)), Some(start + ms(2000)));
    }

    #[test]
    fn bytes_that_come_are_time_won_until_the_answer_is_behind_its_peers() {
        let start = Instant::now();
        let mut awaited = nine_of_ten(start, 1500);
        let talking = |at: u64| {
            move |_| Sight {
                heard: Some(start + ms(at)),
                usual: Some(ms(3)),
            }
        };
        assert_eq!(awaited.next_late(talking(0)), Some(start + ms(3000)));
        // Peers were done after 1.5 s.
        assert_eq!(awaited.next_late(talking(2900)), Some(start + ms(3000)));
        assert_eq!(awaited.find_late(start + ms(3000), talking(2900)), [9]);
    }

    // Four windows are asked at once: the fourth takes four times as long, and nothing is wrong.
    #[test]
    fn a_question_in_line_is_late_only_when_its_server_is_silent() {
        let start = Instant::now();
        let mut awaited = nine_of_ten(start, 1500);
        awaited.forget(9);
        awaited.ask_in_line(10, start);
        let talking = |_| Sight {
            heard: Some(start + ms(8000)),
            usual: Some(ms(3)),
        };
        assert_eq!(awaited.next_late(talking), Some(start + ms(11_000)));
    }

    // Syncing a large share takes a disk its time, and moving it elsewhere takes much longer.
    #[test]
    fn a_weighty_question_is_never_late_before_a_slow_servers_time() {
        let start = Instant::now();
        let mut awaited = Awaited::weighty(PATIENCE);
        awaited.ask(0, start);
        awaited.ask(1, start);
        awaited.reacted(0, start + ms(1));
        awaited.answered(0, start + ms(1));
        assert_eq!(awaited.next_late(known(1)), Some(start + ms(2000)));
    }

    #[test]
    fn a_late_server_that_speaks_again_is_not_late_any_more() {
        let start = Instant::now();
        let mut awaited = nine_of_ten(start, 3);
        assert_eq!(awaited.find_late(start + ms(500), known(3)), [9]);
        awaited.forgive(|question| *question == 9, start + ms(600));
        assert_eq!(awaited.give_up_at(), None);
        assert_eq!(awaited.next_late(known(3)), Some(start + ms(1100)));
    }

    #[test]
    fn nothing_awaited_is_never_late() {
        let mut awaited = Awaited::quick(PATIENCE);
        awaited.ask(1, Instant::now());
        awaited.forget(1);
        assert_eq!(awaited.next_late(unknown), None);
        assert!(awaited.is_all_late());
    }
}
