//! Messages come back as they were sent, byte for byte where entries are concerned; everything else is refused.

use openraft::EntryPayload;

use super::*;
use crate::raft::format::{EntryKind, begin_entry, finish_entry};
use crate::raft::type_config::{EncodedBatch, Entry, Membership, Voter};

fn at(term: u64, index: u64) -> Position {
    Position { term, index }
}

fn entries() -> Vec<Entry> {
    let mut batch = begin_entry(3);
    batch.extend_from_slice(b"ops");
    let members = Membership::new(
        vec![[1, 9].into()],
        std::collections::BTreeMap::from([1, 9].map(|id| (id, Voter { node: cairn_core::NodeId(id) }))),
    );
    [
        EntryPayload::Blank,
        EntryPayload::Normal(EncodedBatch(finish_entry(batch.into(), EntryKind::Batch, at(3, 6)))),
        EntryPayload::Membership(members.unwrap()),
    ]
    .into_iter()
    .zip(5..)
    .map(|(payload, index)| Entry { log_id: at(3, index).into(), payload })
    .collect()
}

fn request() -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: Vote::new_committed(3, 1),
        prev_log_id: Some(at(2, 4).into()),
        entries: entries(),
        leader_commit: Some(at(2, 4).into()),
    }
}

#[test]
fn entries_travel_as_they_are_kept() {
    let body = append_body(9, request());
    let (to, read) = read_append(&body).unwrap();
    assert_eq!(to, 9);
    assert_eq!((read.vote, read.prev_log_id, read.leader_commit), {
        let sent = request();
        (sent.vote, sent.prev_log_id, sent.leader_commit)
    });
    assert_eq!(read.entries, entries());
    for (sent, read) in entries().into_iter().zip(read.entries) {
        let kept = frame(read).1;
        assert_eq!(frame(sent).1, kept);
        assert!(body.as_ptr_range().contains(&kept.as_ptr()) || kept.len() != ENTRY_HEAD_BYTES + 3, "it was copied");
    }
    let empty = AppendEntriesRequest { entries: vec![], prev_log_id: None, ..request() };
    assert!(read_append(&append_body(9, empty)).unwrap().1.entries.is_empty());
}

#[test]
fn entries_that_do_not_follow_or_make_no_sense_are_refused() {
    let gap = AppendEntriesRequest { prev_log_id: Some(at(2, 3).into()), ..request() };
    assert!(read_append(&append_body(9, gap)).is_err());
    let none = AppendEntriesRequest { prev_log_id: None, ..request() };
    assert!(read_append(&append_body(9, none)).is_err());
    let body = append_body(9, request());
    for end in 0..body.len() {
        assert!(read_append(&body.slice(..end)).is_err(), "{end} bytes");
    }
    let mut longer = body.to_vec();
    longer.push(0);
    assert!(read_append(&longer.into()).is_err());
    // A flipped bit is refused, or says something else; it never brings the node down.
    for bit in 0..body.len() * 8 {
        let mut flipped = body.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        drop(read_append(&flipped.into()));
    }
}

#[test]
fn small_messages_come_back() {
    let votes = [Vote::new(4, 2), Vote::new_committed(4, 2)];
    for vote in votes {
        let mut ask = VoteRequest::new(vote, Some(at(3, 8).into()));
        ask.leadership_transfer = true;
        let read = Candidacy::from_body(&Candidacy::new(9, &ask).to_body()).unwrap();
        assert_eq!((read.to, read.request()), (9, ask));
        let ballot = VoteResponse::new(vote, Some(at(3, 8).into()), true);
        let read = Ballot::from_body(&Ballot::from(ballot.clone()).to_body()).unwrap();
        assert_eq!(VoteResponse::from(read), ballot);
        let hand = TransferLeaderRequest::new(vote, 7, None);
        let read = Handover::from_body(&Handover::new(9, &hand).to_body()).unwrap();
        assert_eq!((read.to, read.request()), (9, hand));
        for reply in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(at(1, 1).into())),
            AppendEntriesResponse::PartialSuccess(None),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote),
        ] {
            let read = AppendReply::from_body(&AppendReply::from(reply.clone()).to_body()).unwrap();
            assert_eq!(AppendEntriesResponse::from(read), reply);
        }
    }
}
