//! Sets of ids, as ranges.

use std::ops::Range;

use super::map::{ALL_IDS, IdMap};

/// A set of ids: ranges in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet(Vec<Range<u64>>);

impl IdSet {
    /// The ids in any of `ranges`, merged. What lies beyond the last id that can be is left out.
    pub fn of_ranges(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let bounded = ranges.into_iter().map(|range| range.start..range.end.min(ALL_IDS));
        let mut sorted: Vec<_> = bounded.filter(|range| !range.is_empty()).collect();
        sorted.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        IdSet(merged)
    }

    /// The ids that a map can express on the host: all of them for an empty map.
    pub fn of_hosts(map: &[IdMap]) -> Self {
        if map.is_empty() {
            return Self::of_ranges(std::iter::once(0..ALL_IDS));
        }
        Self::of_ranges(map.iter().map(|range| range.host_id..range.host_id.saturating_add(range.size)))
    }

    /// The ids that a map gives to the inside: none for an empty map, which gives nothing.
    pub(super) fn given(map: &[IdMap]) -> Self {
        Self::of_ranges(map.iter().map(|range| range.container_id..range.container_id.saturating_add(range.size)))
    }

    /// The ids on the host that a map takes: none for an empty map, which takes nothing for itself.
    pub(super) fn taken(map: &[IdMap]) -> Self {
        if map.is_empty() { IdSet::default() } else { Self::of_hosts(map) }
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// How many ids there are.
    pub fn size(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether `id` is one of them.
    pub fn contains(&self, id: u32) -> bool {
        self.0.iter().any(|range| range.contains(&u64::from(id)))
    }

    /// Whether every id of `other` is one of them.
    pub fn contains_all(&self, other: &IdSet) -> bool {
        other.minus(self).0.is_empty()
    }

    /// The ids of both.
    pub fn plus(&self, other: &IdSet) -> IdSet {
        Self::of_ranges(self.0.iter().chain(&other.0).cloned())
    }

    /// The ids that are not in `other`.
    pub fn minus(&self, other: &IdSet) -> IdSet {
        let mut left = Vec::new();
        for range in &self.0 {
            let mut start = range.start;
            for hole in other.0.iter().filter(|hole| hole.end > range.start && hole.start < range.end) {
                left.push(start..hole.start);
                start = hole.end;
            }
            left.push(start..range.end);
        }
        Self::of_ranges(left)
    }

    /// The `count` lowest ids; none when there are fewer.
    pub fn lowest(&self, count: u64) -> Option<IdSet> {
        let (mut left, mut taken) = (count, Vec::new());
        for range in &self.0 {
            let take = left.min(range.end - range.start);
            taken.push(range.start..range.start + take);
            left -= take;
        }
        (left == 0).then(|| Self::of_ranges(taken))
    }

    /// Maps the ids of `inside`, in order, to these, in order, as far as both last.
    pub fn as_hosts_of(&self, inside: &IdSet) -> Vec<IdMap> {
        let (mut hosts, mut insides) = (self.0.iter().cloned(), inside.0.iter().cloned());
        let (mut host, mut inside) = (hosts.next(), insides.next());
        let mut map = Vec::new();
        while let (Some(to), Some(from)) = (&mut host, &mut inside) {
            let size = (to.end - to.start).min(from.end - from.start);
            map.push(IdMap { container_id: from.start, host_id: to.start, size });
            to.start += size;
            from.start += size;
            if to.is_empty() {
                host = hosts.next();
            }
            if inside.as_ref().is_some_and(Range::is_empty) {
                inside = insides.next();
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(ranges: &[(u64, u64)]) -> IdSet {
        IdSet::of_ranges(ranges.iter().map(|&(start, end)| start..end))
    }

    #[test]
    fn ranges_that_touch_are_one_and_impossible_ids_are_left_out() {
        assert_eq!(set(&[(10, 20), (0, 10), (15, 30), (40, 40)]).ranges(), std::slice::from_ref(&(0..30)));
        assert_eq!(set(&[(ALL_IDS - 1, u64::MAX)]).size(), 1, "an id that can't be was taken in");
    }

    #[test]
    fn the_lowest_ids_are_taken_across_ranges_or_not_at_all() {
        let some = set(&[(5, 10), (20, 30)]);
        assert_eq!(some.lowest(7), Some(set(&[(5, 10), (20, 22)])));
        assert_eq!(some.lowest(15), Some(some.clone()));
        assert_eq!(some.lowest(16), None);
    }

    #[test]
    fn an_empty_map_expresses_all_and_takes_none() {
        assert_eq!(IdSet::of_hosts(&[]).size(), ALL_IDS);
        assert_eq!(IdSet::taken(&[]), IdSet::default());
    }

    fn ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0_u64..60, 0_u64..20), 0..6)
            .prop_map(|pairs| pairs.into_iter().map(|(start, length)| (start, start + length)).collect())
    }

    fn plain(set: &IdSet) -> BTreeSet<u64> {
        set.ranges().iter().cloned().flatten().collect()
    }

    proptest! {
        #[test]
        fn sets_of_ranges_are_sets(one in ranges(), two in ranges(), count in 0_u64..50) {
            let (one, two) = (set(&one), set(&two));
            let (a, b) = (plain(&one), plain(&two));
            prop_assert_eq!(one.size(), a.len() as u64);
            prop_assert_eq!(plain(&one.minus(&two)), a.difference(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(plain(&one.plus(&two)), a.union(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(one.contains_all(&two), a.is_superset(&b));
            let lowest = (a.len() as u64 >= count).then(|| a.iter().copied().take(count as usize).collect::<BTreeSet<_>>());
            prop_assert_eq!(one.lowest(count).as_ref().map(plain), lowest);
        }

        #[test]
        fn ids_are_paired_in_order(hosts in ranges(), inside in ranges()) {
            let (hosts, inside) = (set(&hosts), set(&inside));
            let map = hosts.as_hosts_of(&inside);
            let pairs: Vec<_> = map.iter().flat_map(|m| (0..m.size).map(|n| (m.container_id + n, m.host_id + n))).collect();
            let wanted: Vec<_> = plain(&inside).into_iter().zip(plain(&hosts)).collect();
            prop_assert_eq!(pairs, wanted);
        }
    }
}
