#!/usr/bin/env bash
# Grade one submission of a set: the job with this number of an array of jobs, counted from 0.
#
#   grade-one.sh SET FOLDER_OF_THE_CLASS [NUMBER]
#
# NUMBER is taken from Slurm or from an indexed job of Kubernetes where it is not given:
#
#   sbatch --array=0-299%20 --mem=4G grade-one.sh maximum-entropy /shared/class
#
# All jobs share the folder, and each writes one file into its `results`. When all have ended, a
# run of `python -m nlpmeta coursework grade SET` fills the gradebook from these files, and runs
# what a job has not done. Release the set before, so that the secret seed exists.
set -euo pipefail

set_name=$1 folder=$2
number=${3:-${SLURM_ARRAY_TASK_ID:-${JOB_COMPLETION_INDEX:-}}}
: "${number:?give the number of the submission, from 0}"

cd "$folder/submitted"
shopt -s nullglob
handed_in=(*/"$set_name")
if ((number >= ${#handed_in[@]})); then
    echo "There are ${#handed_in[@]} submissions of $set_name, so none has number $number."
    exit 0
fi
exec "${PYTHON:-python}" -m nlpmeta coursework grade "$set_name" \
    --course-dir "$folder" --jobs 1 --student "${handed_in[number]%/*}"
