//! What depends on what, and the order that follows.

use super::budget::Budget;
use super::instance::{Expanded, Fate, Instance};
use super::problem::{Located, Problem};
use crate::id::Scope;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Finds instances by what a template calls them. Everything compares without case.
#[derive(Debug, Default)]
pub struct Directory {
    ids: HashMap<String, usize>,
    /// The keys of IDs and the instances that have a name.
    names: HashMap<String, Vec<(String, usize)>>,
    symbols: HashMap<String, Vec<usize>>,
    loops: HashMap<String, usize>,
    members: Vec<Vec<usize>>,
}

/// What a name in a template means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// One resource.
    One(usize),
    /// All that a loop makes; the number of the loop.
    Loop(usize),
    /// More than one resource has the name.
    Many,
    /// Nothing of the template.
    Nothing,
}

impl Directory {
    /// Returns the directory of the instances.
    ///
    /// # Errors
    ///
    /// Two that are deployed have one ID.
    pub fn new(expanded: &Expanded) -> Result<Self, Located> {
        let mut directory = Self::default();
        for name in &expanded.loops {
            directory.loop_of(name);
        }
        let instances = &expanded.instances;
        for (at, one) in instances.iter().enumerate() {
            let key = one.id.key();
            for name in names_of(one) {
                let named = directory.names.entry(name).or_default();
                named.push((key.clone(), at));
            }
            match directory.ids.get(&key).and_then(|at| instances.get(*at)) {
                Some(other) if other.fate == Fate::Deployed => {
                    if one.fate == Fate::Deployed {
                        return Err(Problem::Template(format!(
                            "The resource '{}' is defined multiple times in a template, at '{}' and '{}'. Please see https://aka.ms/arm-syntax-resources for usage details",
                            one.id, other.path, one.path
                        ))
                        .into());
                    }
                }
                _ => {
                    directory.ids.insert(key, at);
                }
            }
            if let Some(symbol) = &one.symbol {
                let symbol = symbol.to_ascii_lowercase();
                directory.symbols.entry(symbol).or_default().push(at);
            }
            for shared in &one.shared {
                let number = directory.loop_of(shared);
                if let Some(members) = directory.members.get_mut(number) {
                    members.push(at);
                }
            }
        }
        Ok(directory)
    }

    fn loop_of(&mut self, name: &str) -> usize {
        let next = self.members.len();
        let number = *self.loops.entry(name.to_ascii_lowercase()).or_insert(next);
        if number == next {
            self.members.push(Vec::new());
        }
        number
    }

    /// Returns what a loop makes, in order.
    #[must_use]
    pub fn members(&self, number: usize) -> &[usize] {
        self.members.get(number).map_or(&[], Vec::as_slice)
    }

    /// Returns how many resources have a name.
    fn namesakes(&self, name: &str) -> usize {
        let named = self
            .names
            .get(&name.trim_end_matches('/').to_ascii_lowercase());
        named.map_or(0, Vec::len)
    }

    /// Returns what a name means for a resource other than `but`.
    #[must_use]
    pub fn find(&self, scope: &Scope, name: &str, but: Option<usize>) -> Meant {
        let key = name.trim_end_matches('/').to_ascii_lowercase();
        if let Some(at) = self.ids.get(&key) {
            return Meant::One(*at);
        }
        if key.starts_with('/') {
            return Meant::Nothing;
        }
        if let Some([at]) = self.symbols.get(&key).map(Vec::as_slice) {
            return Meant::One(*at);
        }
        if let Some(number) = self.loops.get(&key) {
            return Meant::Loop(*number);
        }
        if key.contains('/') {
            let id = format!("{}/providers/{key}", scope.key().trim_end_matches('/'));
            if let Some(at) = self.ids.get(&id) {
                return Meant::One(*at);
            }
        }
        let named = self.names.get(&key).map(Vec::as_slice).unwrap_or_default();
        let others = named.iter().filter(|named| Some(named.1) != but);
        let mut ids: Vec<&String> = others.map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        match ids.as_slice() {
            // Its own name, or nothing's.
            [] => named
                .first()
                .map_or(Meant::Nothing, |named| Meant::One(named.1)),
            // One resource in two ways, of which a condition takes one, is one resource.
            [id] => self
                .ids
                .get(*id)
                .map_or(Meant::Nothing, |at| Meant::One(*at)),
            _ => Meant::Many,
        }
    }
}

/// Returns the names of a resource beside its ID: its own, and that behind its type.
fn names_of(one: &Instance) -> [String; 2] {
    let name = one.name.to_ascii_lowercase();
    let full = format!("{}/{name}", one.id.kind().to_ascii_lowercase());
    [name, full]
}

/// An order in which every resource comes after what it depends on; without a reason to do otherwise,
/// as the template has them.
#[derive(Debug, Default)]
pub struct Order {
    /// The instances in their order.
    pub instances: Vec<usize>,
    /// What each instance depends on, by its `dependsOn`.
    pub dependencies: Vec<Vec<Meant>>,
}

impl Order {
    /// Returns the instances that an instance depends on, loops taken apart.
    pub fn needs<'a>(
        &'a self,
        directory: &'a Directory,
        at: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let own = self.dependencies.get(at).map_or(&[][..], Vec::as_slice);
        own.iter().flat_map(move |meant| {
            let (one, members) = match meant {
                Meant::One(one) => (Some(*one), &[][..]),
                Meant::Loop(number) => (None, directory.members(*number)),
                Meant::Many | Meant::Nothing => (None, &[][..]),
            };
            one.into_iter().chain(members.iter().copied())
        })
    }
}

/// Works out the order.
///
/// # Errors
///
/// A dependency is not of the template, or the dependencies go in a circle.
pub fn order(
    instances: &[Instance],
    directory: &Directory,
    scope: &Scope,
    budget: &Budget,
) -> Result<Order, Located> {
    let mut graph = Graph::new(instances.len(), directory);
    let mut dependencies = Vec::with_capacity(instances.len());
    for (at, one) in instances.iter().enumerate() {
        let mut own = Vec::new();
        for name in &one.dependencies {
            budget.step()?;
            budget.read(directory.namesakes(name).saturating_mul(200))?;
            let meant = directory.find(scope, name, Some(at));
            match meant {
                Meant::One(other) => graph.edge(other, at),
                Meant::Loop(number) => graph.edge(instances.len().saturating_add(number), at),
                Meant::Many => {
                    return Err(at_dependencies(
                        one,
                        format!(
                            "The resource reference '{name:.200}' is ambiguous: more than one resource of the template has the name. Please use its resource ID"
                        ),
                    ));
                }
                Meant::Nothing => {
                    return Err(at_dependencies(
                        one,
                        format!(
                            "The resource '{name:.200}' is not defined in the template. Please see https://aka.ms/arm-template for usage details"
                        ),
                    ));
                }
            }
            own.push(meant);
        }
        dependencies.push(own);
    }
    let edges: usize = dependencies.iter().map(Vec::len).sum();
    budget.read(edges.saturating_add(instances.len()).saturating_mul(400))?;
    serial(instances, &mut graph);
    let sorted = with_parents(instances, directory, &graph).sort();
    let sorted = sorted.or_else(|_| graph.sort());
    let sorted = sorted.map_err(|at| {
        let one = instances.get(at);
        let id = one.map(|one| one.id.to_string()).unwrap_or_default();
        let located = Located::from(circular(&id));
        match one {
            Some(one) => located.under(&one.path),
            None => located,
        }
    })?;
    Ok(Order {
        instances: sorted,
        dependencies,
    })
}

/// Returns the graph with each child after its parent, and each extension after what it extends. The
/// platform leaves that to the template; what would fail there by chance never does here. Where the
/// template's own word is another one, that has precedence.
fn with_parents(instances: &[Instance], directory: &Directory, graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for (at, one) in instances.iter().enumerate() {
        let parent = one.id.parent().or_else(|| match &one.id.scope {
            Scope::Resource(of) => Some((**of).clone()),
            _ => None,
        });
        if let Some(parent) = parent.and_then(|parent| directory.ids.get(&parent.key())) {
            graph.edge(*parent, at);
        }
    }
    graph
}

/// Returns the problem that a resource depends on itself.
#[must_use]
pub fn circular(id: &str) -> Problem {
    Problem::Template(format!(
        "Circular dependency detected on resource: '{id}'. Please see https://aka.ms/arm-syntax-resources for usage details"
    ))
}

fn at_dependencies(one: &Instance, why: String) -> Located {
    Located::from(Problem::Template(why))
        .under("dependsOn")
        .under(&one.path)
}

/// Adds what serial loops say: each batch after the one before.
fn serial(instances: &[Instance], graph: &mut Graph) {
    let mut batches: HashMap<(&str, usize), Vec<usize>> = HashMap::new();
    for (at, one) in instances.iter().enumerate() {
        if let Some((name, batch)) = &one.batch {
            batches.entry((name, *batch)).or_default().push(at);
        }
    }
    for ((name, batch), members) in &batches {
        let Some(before) = batch
            .checked_sub(1)
            .and_then(|before| batches.get(&(*name, before)))
        else {
            continue;
        };
        // One node stands between two batches, so that big ones do not make edges by their product.
        let gate = graph.node();
        before.iter().for_each(|one| graph.edge(*one, gate));
        members.iter().for_each(|one| graph.edge(gate, *one));
    }
}

#[derive(Clone)]
struct Graph {
    instances: usize,
    after: Vec<Vec<usize>>,
    waits: Vec<usize>,
}

impl Graph {
    /// Nodes are the instances and, behind them, the loops.
    fn new(instances: usize, directory: &Directory) -> Self {
        let nodes = instances.saturating_add(directory.members.len());
        let mut graph = Self {
            instances,
            after: vec![Vec::new(); nodes],
            waits: vec![0; nodes],
        };
        for (number, members) in directory.members.iter().enumerate() {
            for one in members {
                graph.edge(*one, instances.saturating_add(number));
            }
        }
        graph
    }

    fn node(&mut self) -> usize {
        self.after.push(Vec::new());
        self.waits.push(0);
        self.after.len().saturating_sub(1)
    }

    fn edge(&mut self, from: usize, to: usize) {
        if let (Some(after), Some(waits)) = (self.after.get_mut(from), self.waits.get_mut(to)) {
            after.push(to);
            *waits = waits.saturating_add(1);
        }
    }

    /// Sorts the instances; the error is an instance of a circle.
    fn sort(&self) -> Result<Vec<usize>, usize> {
        let mut waits = self.waits.clone();
        // Loops and gates come first: what waits for them takes its own place then.
        let rank = |at: usize| Reverse((at < self.instances, at));
        let mut ready: BinaryHeap<Reverse<(bool, usize)>> = waits
            .iter()
            .enumerate()
            .filter(|(_, waits)| **waits == 0)
            .map(|(at, _)| rank(at))
            .collect();
        let mut sorted = Vec::with_capacity(self.instances);
        while let Some(Reverse((_, at))) = ready.pop() {
            if at < self.instances {
                sorted.push(at);
            }
            for next in self.after.get(at).map_or(&[][..], Vec::as_slice) {
                if let Some(waits) = waits.get_mut(*next) {
                    *waits = waits.saturating_sub(1);
                    if *waits == 0 {
                        ready.push(rank(*next));
                    }
                }
            }
        }
        match sorted.len() == self.instances {
            true => Ok(sorted),
            false => Err(self.in_circle(&waits)),
        }
    }

    /// Returns an instance of a circle among the nodes that still wait: going back from any of them
    /// leads into one.
    fn in_circle(&self, waits: &[usize]) -> usize {
        let mut before: HashMap<usize, usize> = HashMap::new();
        for (from, after) in self.after.iter().enumerate() {
            if waits.get(from).is_some_and(|waits| *waits > 0) {
                for to in after {
                    before.entry(*to).or_insert(from);
                }
            }
        }
        let waiting = waits.iter().position(|waits| *waits > 0);
        let mut at = waiting.unwrap_or_default();
        for _ in 0..self.after.len() {
            at = before.get(&at).copied().unwrap_or(at);
        }
        for _ in 0..self.after.len() {
            if at < self.instances {
                break;
            }
            at = before.get(&at).copied().unwrap_or(at);
        }
        at
    }
}
