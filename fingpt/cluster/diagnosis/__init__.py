"""Why a Job does not go on, or how it ended: what the cluster says, in plain words with what to do."""
