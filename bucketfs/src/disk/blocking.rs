//! An engine used one step at a time, before the store serves.

use std::collections::HashMap;

use super::{Completion, DiskError, Engine, FLIGHT_MAX, Operation, OperationId, Outcome};

/// Performs operations and waits for them.
pub(crate) struct Blocking<'a> {
    engine: &'a mut dyn Engine,
    next: u64,
    reaped: Vec<Completion>,
}

impl<'a> Blocking<'a> {
    pub(crate) fn new(engine: &'a mut dyn Engine) -> Self {
        assert_eq!(engine.in_flight(), 0, "the engine is the store's alone");
        Self {
            engine,
            next: 0,
            reaped: Vec::new(),
        }
    }

    pub(crate) fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    pub(crate) fn writes_directly(&self) -> bool {
        self.engine.writes_directly()
    }

    /// Performs one operation.
    pub(crate) fn perform(&mut self, operation: Operation) -> Result<Outcome, DiskError> {
        let id = self.submit(operation);
        while self.reaped.is_empty() {
            self.engine.wait();
            self.engine.reap(&mut self.reaped);
        }
        let completion = self.reaped.pop().expect("one was reaped");
        assert_eq!(completion.id, id, "one operation was in flight");
        completion.result
    }

    /// Performs operations on different files, many at a time; `K` says which files.
    pub(crate) fn flights<K: std::hash::Hash + Eq + Copy>(&mut self) -> Flights<'_, 'a, K> {
        Flights {
            disk: self,
            keys: HashMap::new(),
        }
    }

    fn submit(&mut self, operation: Operation) -> OperationId {
        let id = OperationId(self.next);
        self.next += 1;
        self.engine.submit(id, operation);
        id
    }
}

/// Operations in flight, at most one for each key.
pub(crate) struct Flights<'b, 'a, K> {
    disk: &'b mut Blocking<'a>,
    keys: HashMap<OperationId, K>,
}

impl<K: std::hash::Hash + Eq + Copy> Flights<'_, '_, K> {
    /// Starts an operation once those before it on the same key have ended, and hands every one
    /// that ended meanwhile to `ended`.
    pub(crate) fn start<E>(
        &mut self,
        key: K,
        operation: Operation,
        mut ended: impl FnMut(K, Completion) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.keys.len() >= FLIGHT_MAX || self.keys.values().any(|other| *other == key) {
            self.land(&mut ended)?;
        }
        let id = self.disk.submit(operation);
        self.keys.insert(id, key);
        Ok(())
    }

    /// Waits for all of them.
    pub(crate) fn finish<E>(
        mut self,
        mut ended: impl FnMut(K, Completion) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.keys.is_empty() {
            self.land(&mut ended)?;
        }
        Ok(())
    }

    fn land<E>(&mut self, ended: &mut impl FnMut(K, Completion) -> Result<(), E>) -> Result<(), E> {
        self.disk.engine.wait();
        self.disk.engine.reap(&mut self.disk.reaped);
        for completion in self.disk.reaped.drain(..) {
            let key = self.keys.remove(&completion.id).expect("it was in flight");
            ended(key, completion)?;
        }
        Ok(())
    }
}
