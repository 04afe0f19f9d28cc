//! What every engine must do alike, behind the [`Store`] trait alone. An engine runs it by
//! implementing [`Engine`] and calling [`conformance!`].

pub mod addresses;
pub mod commits;
pub mod feed;
pub mod keys;
pub mod listing;
pub mod log;
pub mod records;
pub mod revocations;
pub mod secrets;
pub mod session_keys;
pub mod users;
pub mod uses;

use std::sync::Arc;

use async_trait::async_trait;
use sealgate_core::clock::Timestamp;
use sealgate_core::master::MasterKey;
use sealgate_core::secret::Secret;
use sealgate_core::store::{Change, Commit, Store};

/// When the stores of the tests are made.
pub const BIRTH: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// The master key of the tests' stores.
pub fn master() -> MasterKey {
    MasterKey::new(Secret::new([0x5A; 32]))
}

/// An engine under test: a place for one store.
#[async_trait]
pub trait Engine: Sized + Send + Sync {
    /// A place where no store is yet.
    async fn fresh() -> Self;

    /// Opens the store there under [`master`], sets it up at [`BIRTH`] if there is none. Each call is
    /// as good as another process.
    async fn open(&self) -> Arc<dyn Store>;
}

/// Commits changes without a word in the log.
pub async fn change(store: &dyn Store, changes: impl IntoIterator<Item = Change>) {
    let changes = changes.into_iter().collect();
    store
        .commit(Commit {
            changes,
            events: Vec::new(),
        })
        .await
        .unwrap();
}

/// Makes each behaviour of the suite a test of the engine.
macro_rules! conformance {
    ($engine:ty) => {
        $crate::conformance::conformance! { @tests $engine;
            keys {
                every_field_of_a_key_in_every_state_reads_back,
                a_key_that_is_not_there_is_nothing,
                an_update_writes_every_setting_but_the_uses_and_the_version_grows,
                an_update_of_a_stale_version_is_a_conflict,
                an_update_of_a_key_that_is_not_there_is_a_conflict,
                a_key_can_be_inserted_once,
                keys_are_found_by_any_of_some_names_oldest_first,
                all_keys_are_loaded_in_the_order_of_their_identifiers,
                keys_past_their_expiry_are_found_until_that_is_recorded,
                health_counts_keys_active_admins_and_records,
            }
            listing {
                pages_have_no_gaps_and_no_repeats_under_every_filter,
                names_are_found_by_their_beginning_in_either_case,
                wildcards_and_quotes_in_a_name_are_plain_text,
                many_keys_of_one_name_are_paged_by_their_identifiers,
            }
            commits {
                a_commit_stands_or_falls_as_a_whole,
                a_large_commit_keeps_every_row_and_its_order,
                a_duplicate_within_a_large_commit_undoes_all_of_it,
                commits_from_many_tasks_at_once_all_stand,
                of_changes_of_one_version_at_once_one_wins,
                a_commit_is_written_though_nobody_waits_for_it,
                what_was_committed_is_there_after_a_restart,
                a_closed_store_is_unavailable,
            }
            log {
                a_new_store_begins_its_log_with_its_creation,
                opening_a_store_again_writes_nothing,
                every_field_of_an_event_reads_back,
                the_chain_holds_from_the_first_record_to_the_sealed_end,
                two_processes_write_one_chain,
                the_log_is_paged_newest_first_whole_and_by_key,
                the_log_is_followed_oldest_first,
            }
            feed {
                a_changed_key_comes_once_and_as_it_is_now,
                what_another_process_changes_is_seen,
                nothing_new_leaves_the_position_where_it_was,
                a_feed_longer_than_asked_for_comes_in_portions,
                a_new_server_key_is_told_and_a_data_key_is_not,
                uses_do_not_enter_the_feed,
                a_position_beyond_the_end_is_lost,
                a_revocation_is_told_once_and_as_it_is_now,
                a_revocation_that_was_forgotten_is_not_told,
                another_process_learns_of_revocations_keys_and_session_keys_together,
                a_change_of_session_keys_is_told_if_there_was_one,
                users_and_addresses_do_not_enter_the_feed,
            }
            uses {
                counts_of_one_minute_add_up,
                uses_of_a_key_add_up_and_leave_its_version,
                an_older_use_does_not_move_the_last_one_back,
                minutes_that_are_over_move_into_the_log,
                at_most_so_many_counts_are_closed_at_once_the_oldest_first,
                a_late_count_of_a_closed_minute_gets_its_own_record,
                of_many_open_counts_the_newest_thousand_are_told,
            }
            secrets {
                data_keys_of_a_lineage_come_newest_first,
                a_version_of_a_data_key_is_made_once,
                server_keys_come_newest_first,
                a_server_key_is_inserted_once,
                a_retired_server_key_verifies_until_the_earlier_moment_and_is_removed,
            }
            users {
                every_field_of_a_user_reads_back,
                a_user_that_is_not_there_is_nothing,
                names_that_differ_in_case_alone_are_one_user,
                an_update_writes_every_setting_but_the_last_login,
                a_change_of_a_stale_version_is_a_conflict,
                a_removed_user_is_gone_with_its_addresses,
                a_login_is_noted_in_its_epoch_alone,
                pages_of_users_have_no_gaps_and_no_repeats,
                wildcards_in_the_beginning_of_a_user_name_are_plain_text,
                a_large_profile_reads_back,
            }
            revocations {
                revocations_are_loaded_in_the_order_of_their_names,
                of_two_revocations_the_later_epoch_and_the_later_expiry_stay,
                a_token_revoked_twice_is_dead_until_the_later_moment,
                what_has_expired_is_forgotten_the_oldest_first,
                a_revocation_is_there_after_a_restart,
            }
            session_keys {
                session_keys_come_newest_first,
                a_session_key_is_inserted_once,
                a_retired_key_verifies_until_the_earlier_moment,
                a_key_is_removed_once_it_verifies_no_more,
            }
            addresses {
                known_networks_come_newest_first,
                a_network_is_as_new_as_its_last_login,
                of_an_account_the_newest_networks_are_kept,
                an_accounts_networks_are_forgotten_together,
            }
        }
    };
    (@tests $engine:ty; $($module:ident { $($test:ident,)* })*) => {
        $(mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                conformance::$module::$test(<$engine as conformance::Engine>::fresh().await).await;
            })*
        })*
    };
}

pub(crate) use conformance;
